"""Replies about what can only be read: operating systems, plans, the customer."""

from __future__ import annotations

from typing import Any

from .places import Place

_SYSTEMS = (
    ("CentOS", "7.5", "Linux Virtual Node"),
    ("Ubuntu", "24.04", "Linux Virtual Node"),
    ("Windows", "2022", "Windows Virtual Node"),
)


def plans(location: str) -> list[dict[str, Any]]:
    """The reply to ``GET images/``: operating systems to choose from, without any image id."""
    return [
        {"name": name, "distro": f"{name}-{version}", "category": category, "location": location}
        for name, version, category in _SYSTEMS
    ]


def categories() -> dict[str, Any]:
    """The operating systems by category, as the vendor's command line reads them."""
    return {
        "category_list": [
            {
                "OS": name,
                "category": [category],
                "version": [
                    {
                        "os": name,
                        "sub_category": name,
                        "version": version,
                        "software_version": "",
                        "number_of_domains": None,
                    }
                ],
            }
            for name, version, category in _SYSTEMS
        ]
    }


def identity(home: Place) -> dict[str, Any]:
    """The owner of the credentials."""
    owner = {"crn": "crn:1", "iam_type": "Owner", "last_used_project": home.project}
    return {"crn_data": [owner], "multi_crn": [owner]}


def profile(home: Place) -> dict[str, Any]:
    """The customer, and the project that is used if none is named."""
    return {
        "customer_id": 1,
        "email": "someone@example.com",
        "project_id": int(home.project) if home.project.isdecimal() else home.project,
        "projects": [],
    }
