# Part of deploy/check.sh: the unit.
mkdir "$scratch/unit"
# Verified as it will be installed, but for the binary, which is not there yet.
sed 's|/usr/local/bin/tributary|/bin/true|' deploy/systemd/tributary.service >"$scratch/unit/tributary.service"
complaints=$(systemd-analyze verify --man=no "$scratch/unit/tributary.service" 2>&1) || die "systemd-analyze verify: $complaints"
[ -z "$complaints" ] || die "systemd-analyze verify: $complaints"
# In tenths: an exposure of 1.5 at most.
systemd-analyze security --offline=true --threshold=15 --no-pager "$scratch/unit/tributary.service" >"$scratch/out" 2>&1 ||
    die "$(tail -1 "$scratch/out")"
if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --root="$scratch/root" --create - <deploy/systemd/tributary.tmpfiles || die "tributary.tmpfiles is wrong"
    [ "$(stat -c %a "$scratch/root/etc/tributary")" = 711 ] || die "tributary.tmpfiles does not make /etc/tributary so that only root lists it"
fi
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers --root="$scratch/root" - <deploy/systemd/tributary.sysusers 2>/dev/null || die "tributary.sysusers is wrong"
    grep -q '^tributary:.*:/usr/sbin/nologin$' "$scratch/root/etc/passwd" || die "tributary.sysusers makes no user without a shell"
fi
# A watchdog that nobody feeds would end the daemon; one that is fed is to be used.
if grep -rq 'NotifyState::Watchdog' src; then
    grep -q '^WatchdogSec=' deploy/systemd/tributary.service || die "the daemon feeds a watchdog: set WatchdogSec= in the unit"
elif grep -q '^WatchdogSec=' deploy/systemd/tributary.service; then
    die "the unit has WatchdogSec=, and the daemon feeds no watchdog"
fi
echo "ok   systemd:$(tail -1 "$scratch/out" | grep -o 'level.*: [0-9.]*' | sed 's/.*:/ exposure/')"
