"""YAML to plain data and back, through a safe loader: nothing here runs what it reads."""

import re
from pathlib import Path
from typing import Any

import yaml

from sb3_ddpg_custom.cli.config.plain import MAX_DEPTH, MAX_VALUES
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown

MAX_FILE_BYTES = 1_000_000

_FLOAT_TAG = "tag:yaml.org,2002:float"
# YAML 1.1, which PyYAML implements, wants a dot and a signed exponent in a float; people write 1e-3 and 1e6.
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also reads ``1e-3`` as a number and refuses duplicate keys."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.composer.ComposerError(None, None, f"duplicate key {key.value!r}", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge ``<<``; a file of merges of merges would unfold to more than memory holds."""
        super().flatten_mapping(node)
        if len(node.value) > MAX_VALUES:
            raise yaml.constructor.ConstructorError(
                None, None, f"merges that unfold to more than {MAX_VALUES:,} values", node.start_mark
            )


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, without anchors and with quotes around strings that look like ``1e-3``."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (PyYAML's signature)
        return True


_Loader.add_implicit_resolver(_FLOAT_TAG, _EXPONENT, list("-+0123456789"))
_Dumper.add_implicit_resolver(_FLOAT_TAG, _EXPONENT, list("-+0123456789"))


def read_text(path: Path) -> str:
    """Read a configuration file.

    :param path: the file
    :return: its text
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UsageError(f"`{shown(path)}` is no regular file; name a YAML file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"`{shown(path)}` does not exist; name an existing YAML file") from None
    except IsADirectoryError:
        raise UsageError(f"`{shown(path)}` is a directory; name a YAML file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"`{shown(path)}` cannot be read ({reason}); name a readable YAML file") from None
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(
            f"`{shown(path)}` is larger than {MAX_FILE_BYTES:,} bytes; name a YAML file of hyper-parameters"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"`{shown(path)}` is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML, as data only.

    :param text: the YAML text
    :param source: where it comes from, for error messages
    :return: what the text says
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = error.problem or "it cannot be parsed"
        tag = re.search(r"constructor for the tag '(.*)'", problem)
        if tag:
            name = tag[1].replace("tag:yaml.org,2002:", "!!")
            remedy = f"the tag {name} is refused, for a config is data only; write plain YAML instead"
        else:
            remedy = f"this is not valid YAML ({problem}); correct it there"
        raise UsageError(f"`{source}`{place}: {remedy}") from None
    except RecursionError:
        raise UsageError(f"`{source}` is nested too deep; {MAX_DEPTH} levels are allowed") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        reason = " ".join(str(error).split())
        raise UsageError(f"`{source}` is not valid YAML ({reason}); remove that character") from None
    except Exception as error:
        # "!!bool maybe", "!!int ''" and "2020-13-45" end in whatever PyYAML's scalar constructors happen to raise.
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(f"`{source}` has a value that YAML cannot read ({reason}); correct or quote it") from None


def dump_yaml(data: Any) -> str:
    """Write plain data as YAML that any YAML 1.1 reader understands, floats included.

    :param data: mappings, lists and scalars
    :return: the YAML text
    """
    # A width that no line reaches: PyYAML's folding of long strings is hard to read. It stays ASCII because PyYAML
    # does not read back every Unicode line break that it writes.
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=100_000)
