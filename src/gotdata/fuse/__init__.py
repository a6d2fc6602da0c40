"""A tree as a read-only file system of the kernel: its protocol, the process that answers it, mounting. Linux only;
``launch`` is the way in."""
