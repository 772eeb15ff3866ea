"""Builds the reference of the Python package: python_api.py SOURCES OUT. A warning is an error.

The sources are imported, but not the native module, which would have to be compiled: its stub stands for it.
"""

import __future__

import importlib
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pdoc

sources, out = (Path(argument).resolve() for argument in sys.argv[1:])
sys.path.insert(0, str(sources))
sys.dont_write_bytecode = True

stub = sources / "trunnion/_native.pyi"
native = ModuleType("trunnion._native")
flags = __future__.annotations.compiler_flag
exec(compile(stub.read_text(), stub, "exec", flags=flags), native.__dict__)  # noqa: S102
sys.modules[native.__name__] = native
trunnion = importlib.import_module("trunnion")



def is_own(described, origin):
    """Returns true if the members of this origin belong to the class itself or to a private base, which has no entry."""
    module, name = origin
    own = (described.taken_from, (described.modulename, described.qualname))
    return origin in own or module.startswith("trunnion") and not hasattr(trunnion, name)


def own_members(described):
    groups = described._members_by_origin.items()
    return [member for origin, members in groups if is_own(described, origin) for member in members]


def inherited_members(described):
    groups = described._members_by_origin.items()
    return {origin: members for origin, members in groups if not is_own(described, origin)}


pdoc.doc.Class.own_members = property(own_members)
pdoc.doc.Class.inherited_members = property(inherited_members)

warnings.simplefilter("error")
pdoc.render.configure(
    docformat="google",
    favicon="../../assets/images/favicon.png",
    show_source=False,
    template_directory=Path(__file__).parent / "pdoc",
)
pdoc.pdoc("trunnion", output_directory=out)
