"""Images and nodes to start with: made up, realistic, and always the same for the same seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, cast

from aioe2e._check import is_whole
from aioe2e.errors import UsageError
from aioe2e.testing import _checks as checks

from .places import LOCATION, Place
from .records import Record

#: A number of objects to make up, the wire objects themselves, or a JSON file of them.
Source: TypeAlias = int | Iterable[Mapping[str, Any]] | str | PathLike[str]

#: More objects than this are not made up: it takes too long, and too much memory.
MOST_MADE_UP = 1_000_000

INDIA = timezone(timedelta(hours=5, minutes=30), "India")
#: The seeded images are older than this. Fixed, so that a seed gives the same images tomorrow.
TODAY = datetime(2026, 6, 30, 12, 0, 0, tzinfo=INDIA)

_ROLES = ("web", "api", "db", "cache", "worker", "ci", "mail", "vpn", "build", "search")
_SYSTEMS = (
    "CentOS-7.5",
    "CentOS-Stream",
    "Ubuntu-22.04",
    "Ubuntu-24.04",
    "Debian-12",
    "AlmaLinux-9",
    "Rocky-9",
)
_SIZES = ("20 GB", "45 GB", "57 GB", "95.368 GB", "100 GB", "143.051 GB", "250 GB")
_SKUS = ("C3VPS", "C3.8GB", "C3.16GB", "M3.32GB")
_SERVERS_PER_ROLE = 4

#: The spellings of one fact that were seen on the wire (or in the vendor's documents and clients),
#: by field.
_WOBBLES: Mapping[str, Sequence[Any]] = {
    "image_state": ("Ready", "READY", "available", "ready "),
    "running_vms": ("0", 0, 0.0),
    "cloning_ops": ("0", 0),
    "scaler_group_count": (0, "0", None),
    "vm_info": (None, [], ""),
    "image_size": ("57 GB", "95.368 GB", "20GB", "45"),
    "creation_time": ("31-10-2019 11:59:58", "01-Jan-2025 10:00:00", "2026-03-12T10:00:00Z", ""),
    "is_windows": (False, "false", None),
    "project_name": ("default-project", None, ""),
}


def ist_text(moment: datetime) -> str:
    """A time as the listing writes it: day first, Indian time, without a zone."""
    return moment.astimezone(INDIA).strftime("%d-%m-%Y %H:%M:%S")


def made_images(
    count: int,
    seed: int = 0,
    *,
    today: datetime = TODAY,
    in_use: float = 0.0,
    wobbles: bool = False,
) -> list[dict[str, Any]]:
    """Return made-up saved images of a few servers over the last year, the newest last.

    Ids and names are unique.

    Args:
        count: The number of images.
        seed: The random seed.
        today: The time shortly after the newest image.
        in_use: The share of images that VMs or clones use, 0 to 1.
        wobbles: Whether to write numbers, states, sizes and dates in all the forms that were seen
            on the wire.
    """
    return list(_images(count, seed, today, in_use, wobbles=wobbles))


def _images(
    count: int, seed: int, today: datetime, in_use: float, *, wobbles: bool
) -> Iterator[dict[str, Any]]:
    dice = random.Random(seed)
    image_id = dice.randrange(20_000, 30_000)
    age = timedelta(days=365) / max(count, 1)
    for number in range(count):
        image_id += dice.randrange(1, 9)
        born = today - age * (count - number) + age * dice.random() * 0.5
        role, server = _ROLES[number % len(_ROLES)], number // len(_ROLES) % _SERVERS_PER_ROLE + 1
        name = f"{role}-{server:02d}-{born:%Y%m%d}-{number:04d}"
        vms = dice.choice((1, 1, 2, 3)) if dice.random() < in_use else 0
        image = new_image(
            str(image_id),
            name,
            born=born,
            distro=dice.choice(_SYSTEMS),
            image_size=dice.choice(_SIZES),
            sku_type=dice.choice(_SKUS),
            template_id=image_id + 4_500,
            running_vms=str(vms),
            vm_info=[_vm(dice.randrange(100_000, 200_000), f"{role}-{n}") for n in range(vms)],
        )
        if wobbles:
            in_use_fields = (
                {field: image[field] for field in ("running_vms", "vm_info")} if vms else {}
            )
            image |= {
                field: dice.choice(spellings)
                for field, spellings in _WOBBLES.items()
                if dice.random() < 0.5
            }
            image |= in_use_fields  # the spellings in the table are of unused images
        yield image


def _vm(vm_id: int, name: str) -> dict[str, Any]:
    # A node has two numbers, and they differ.
    return {"node_id": vm_id - 5_501, "vm_id": vm_id, "vm_name": name}


def new_image(image_id: str, name: str, *, born: datetime, **fields: Any) -> dict[str, Any]:
    """One wire object with every field that the vendor's current clients know."""
    image: dict[str, Any] = {
        "image_id": image_id,
        "template_id": int(image_id) + 4_500 if image_id.isdecimal() else 0,
        "name": name,
        "os_distribution": f"DEL-{name}",
        "distro": "Ubuntu-22.04",
        "image_state": "Ready",
        "image_type": "E2E Image",
        "image_size": "57 GB",
        "sku_type": "C3VPS",
        "creation_time": ist_text(born),
        "running_vms": "0",
        "cloning_ops": "0",
        "scaler_group_count": 0,
        "vm_info": [],
        "is_windows": False,
        "node_plans_available": True,
        "project_name": "default-project",
    }
    return image | fields


#: The spellings of one fact of a node that were seen on the wire, by field.
_NODE_WOBBLES: Mapping[str, Sequence[Any]] = {
    "status": ("Running", "RUNNING", "running "),
    "private_ip_address": (None, "[]", ""),
    "public_ip_address": (None, ""),
    "is_locked": (False, "false", 0),
}
#: Fields that only the details of a node show, not its row in the listing.
NODE_DETAILS = frozenset(
    {
        "vm_id",
        "label",
        "created_at",
        "disk",
        "memory",
        "vcpus",
        "price",
        "location",
        "os_info",
        "security_group_count",
        "is_active",
        "is_vpc_attached",
    }
)


def made_nodes(count: int, seed: int = 0, *, wobbles: bool = False) -> list[dict[str, Any]]:
    """Return made-up running nodes with unique ids and names.

    Args:
        count: The number of nodes.
        seed: The random seed.
        wobbles: Whether to write ids, addresses and states in all the forms that were seen on the
            wire.
    """
    nodes = list(_nodes(count, seed))
    if wobbles:
        dice = random.Random(seed + 2)
        for node in nodes:
            node["id"] = dice.choice((node["id"], str(node["id"])))
            for field, spellings in _NODE_WOBBLES.items():
                if dice.random() < 0.5:
                    node[field] = dice.choice(spellings)
    return nodes


def _nodes(count: int, seed: int) -> Iterator[dict[str, Any]]:
    dice = random.Random(seed + 1)
    node_id = dice.randrange(30_000, 40_000)
    for number in range(count):
        node_id += dice.randrange(1, 9)
        role, server = _ROLES[number % len(_ROLES)], number // len(_ROLES) + 1
        plan, system = dice.choice(_SKUS), dice.choice(_SYSTEMS)
        name, _, version = system.partition("-")
        yield {
            "id": node_id,
            "name": f"{role}-{server:02d}",
            "status": "Running",
            "plan": plan,
            "public_ip_address": f"203.0.113.{number % 254 + 1}",
            "private_ip_address": f"10.0.{number // 254 % 256}.{number % 254 + 1}",
            "is_locked": False,
            "rescue_mode_status": "Disabled",
            "is_accidental_protection": False,
            "isEncryptionEnabled": False,
            "vm_id": node_id + 5_501,
            "label": "default",
            "created_at": (TODAY - timedelta(days=number + 1)).astimezone(UTC).isoformat(),
            "disk": "100 GB",
            "memory": "8 GB",
            "vcpus": "4",
            "price": "Rs. 3650 per month",
            "location": LOCATION,
            "os_info": {
                "category": "Linux Virtual Node",
                "name": name,
                "version": version,
                "full_name": system,
            },
            "security_group_count": 1,
            "is_active": True,
            "is_vpc_attached": False,
        }


def spread(objects: Iterable[dict[str, Any]], places: Sequence[Place]) -> list[Record]:
    """The objects, spread over all places in turn. Those with a location name their new one."""
    found: list[Record] = []
    for number, fields in enumerate(objects):
        place = places[number % len(places)]
        if "location" in fields:
            fields["location"] = place.location
        found.append(Record(fields, place=place))
    return found


def objects_of(
    name: str,
    key: str,
    source: Source,
    make: Callable[[int], Sequence[Mapping[str, Any]]],
) -> list[Mapping[str, Any]]:
    """The objects that a source stands for.

    Args:
        name: The name of the argument, for the text of an error.
        key: The field with the id. In a file at least one object must have it.
        source: How many to make up; the wire objects themselves; or a JSON file that holds a list
            of them, or a reply with the list as its ``data``.
        make: Makes that many up.

    Raises:
        UsageError: It is none of these; the text names the file, or the first entry that is not an
            object.
        OSError: The file cannot be read.
    """
    if is_whole(source):
        return list(make(checks.whole(name, source, most=MOST_MADE_UP)))
    if isinstance(source, str | PathLike):
        path = Path(source)
        found = _checked(f"{name} in {path}", _loaded(path))
        if found and not any(key in item for item in found):
            raise UsageError(f"{path} holds no {name}: none of its objects has {key!r}")
        return found
    if not checks.is_several(source):
        checks.refuse(name, "a number of 0 or more, a list of objects or a JSON file", source)
    return _checked(name, list(source))


def _loaded(path: Path) -> object:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a JSON file: {error}") from None
    return cast("dict[str, Any]", found).get("data") if isinstance(found, dict) else found


def _checked(name: str, objects: object) -> list[Mapping[str, Any]]:
    if not isinstance(objects, list):
        checks.refuse(name, "a list of objects, or a reply with one as its data", objects)
    for number, item in enumerate(cast("list[object]", objects)):
        if not isinstance(item, Mapping):
            checks.refuse(f"{name}[{number}]", "an object with the fields of the wire", item)
    return cast("list[Mapping[str, Any]]", objects)
