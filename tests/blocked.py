"""Stands for an environment in which some packages are not installed."""

OPTIONAL = (  # what the extras of the core bring
    *("array_record", "grain", "h5py", "matplotlib", "python_calamine"),
    *("tensorboardX", "tensorflow_datasets"),
)


class Blocked:
    """Finds no module of some packages; a first element for sys.meta_path."""

    def __init__(self, *packages):
        self._packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
