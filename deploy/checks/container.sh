# Part of deploy/check.sh: the Dockerfile. There is no container engine in CI, so the image is not built.
hadolint --no-color Dockerfile || die "the Dockerfile has faults"
grep -q '^USER 10001' Dockerfile || die "the image runs as root"
echo "ok   container: Dockerfile linted, not built"
