"""The limit of open files of this process, which it may raise itself."""

from __future__ import annotations

import resource

#: Enough for the API's connections, or for a thousand agents of one worker: each agent takes seven,
#: and those of its egress proxy. A limit as high as some systems allow costs other programs time.
_DESCRIPTORS = 16_384


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files as far as it may be raised, up to what is of use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
