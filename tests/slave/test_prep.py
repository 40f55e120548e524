def test_it(offline_chroot): print(offline_chroot)
