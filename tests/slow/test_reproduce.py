"""Two clean builds of what is committed, in two folders and with two homes of cargo, give the same module. `make test-slow`, `make reproduce`."""
import reproduce


def test_two_builds_give_the_same_module():
    first, second = reproduce.twice()
    assert first == second
