"""How much memory this process may still take, in bytes."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def available_memory(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int:
    """Return the memory available, in bytes: the machine's, or a container's limit if less.

    The kernel's estimate (`MemAvailable`) counts files it keeps in memory and can drop, which
    the count of free pages leaves out: after a conversion that is most of the memory. Returns 0
    where neither can be told.
    """
    amounts = []
    try:
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        amounts.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        names = getattr(os, "sysconf_names", {})
        if {"SC_AVPHYS_PAGES", "SC_PAGE_SIZE"} <= set(names):
            amounts.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        limit = int((cgroup / "memory.max").read_text())
        amounts.append(max(0, limit - int((cgroup / "memory.current").read_text())))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        pass
    return min(amounts, default=0)
