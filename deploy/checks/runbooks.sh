# Part of deploy/check.sh: one runbook for each alert, with its sections, links that lead somewhere, and commands that exist.
for alert in $alerts; do
    file=docs/runbooks/$alert.md
    [ -f "$file" ] || die "there is no $file"
    for heading in "# $alert" "## What it means" "## How to look" "## What to do" "## When it clears"; do
        grep -qxF "$heading" "$file" || die "$file has no heading \"$heading\""
    done
    grep -qF "($alert.md)" docs/runbooks/README.md || die "docs/runbooks/README.md does not list $alert"
done
for file in docs/runbooks/*.md; do
    name=$(basename "$file" .md)
    [ "$name" = README ] || echo "$alerts" | grep -qx "$name" || die "$file belongs to no alert"
    grep -o '](\([^)]*\))' "$file" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '://' | while read -r link; do
        [ -e "docs/runbooks/$link" ] || die "$file: this link leads nowhere: $link"
    done
    # Every command is in the table of docs/operations.md.
    grep -o '^tributary [a-z-]*\|`tributary [a-z][a-z-]*' "$file" | tr -d '`' | cut -d' ' -f2 | sort -u | while read -r command; do
        case $command in --*) continue ;; esac
        grep -q "^| \`${command}[\` ,]" docs/operations.md || die "$file: there is no command tributary $command"
    done
done
echo "ok   runbooks: $(echo "$alerts" | wc -l)"
