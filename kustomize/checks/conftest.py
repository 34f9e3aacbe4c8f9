"""Options of the checks."""


def pytest_addoption(parser):
    parser.addoption("--update-snapshots", action="store_true", help="write the snapshots instead of comparing them")
