"""How a build is done: build type `binarypackage`, over a chroot, a user namespace or the host."""
