from howto.setup.latest import changes, loosened


def test_all_that_is_pinned_may_be_newer_but_for_torch_and_the_next_major_version():
    wanted = "-r site.inc\ntorch==2.1.2\ntorchvision==0.16.2\nmmdet==2.28.2\ntimm==0.6.13\nnumpy<2\n"
    assert loosened(wanted) == (
        "-r site.inc\ntorch==2.1.2\ntorchvision==0.16.2\nmmdet>=2.28.2,<3\ntimm>=0.6.13,<1\nnumpy<2\n"
    )


def test_what_changed_is_named_with_both_versions():
    before = "# tox -e lock\naiohttp==3.1\nnumpy==1.26.4\nrich==14.0 ; sys_platform == 'linux'\n"
    after = "# tox -e lock\nnumpy==1.26.5\nrich==14.0\nzipp==3.2 ; sys_platform == 'linux'\n"
    assert changes(before, after) == ["- aiohttp: 3.1 → none", "- numpy: 1.26.4 → 1.26.5", "- zipp: none → 3.2"]
