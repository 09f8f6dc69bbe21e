# Part of deploy/check.sh: the scripts themselves.
shellcheck --shell=sh deploy/*.sh deploy/prometheus/*.sh
shellcheck --shell=sh --exclude=SC2154 deploy/checks/*.sh
echo "ok   scripts"
