# Part of deploy/check.sh: the Dockerfile. There is no container engine in CI, so the image is not built.
hadolint --no-color Dockerfile || die "the Dockerfile has faults"
grep -q '^USER 10001' Dockerfile || die "the image runs as root"
# The image of a digest never changes; .github/dependabot.yml proposes the next one.
if grep '^FROM ' Dockerfile | grep -vqE '@sha256:[0-9a-f]{64}( |$)'; then
    die "a base of the image is not pinned by its digest"
fi
echo "ok   container: Dockerfile linted, bases pinned, not built"
