"""Builds the reference of the Python package: python_api.py SOURCES OUT. A warning is an error.

The sources are imported, but not the native module, which would have to be compiled: its stub stands for it.
"""

import __future__

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



def documented_here(namespace):
    """The members of a class that the page describes under it: its own, and those of bases that have no page."""

    def has_page(origin):
        module = pdoc.doc.Module.from_name("trunnion") if origin[0].startswith("trunnion") else None
        public = module and module.get(origin[1]) is not None
        return origin == (namespace.modulename, namespace.qualname) or public or module is None

    own = (namespace.taken_from, (namespace.modulename, namespace.qualname))
    inherited = {origin for origin in namespace._members_by_origin if origin not in own and has_page(origin)}
    return [m for origin, group in namespace._members_by_origin.items() if origin not in inherited for m in group]


pdoc.doc.Class.own_members = property(documented_here)

warnings.simplefilter("error")
pdoc.render.configure(
    docformat="google",
    favicon="../../assets/images/favicon.png",
    show_source=False,
    template_directory=Path(__file__).parent / "pdoc",
)
pdoc.pdoc("trunnion", output_directory=out)
