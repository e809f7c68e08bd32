"""Rename hundreds of images by a rule, with a journal.

    python examples/rename_rule.py 'ci-(.*)' 'archive-\\1'          shows the plan
    python examples/rename_rule.py 'ci-(.*)' 'archive-\\1' --go     renames

If the program is killed, run the same command again, and it continues. The pattern must match a
whole name, and the replacement is the whole new name.
Set E2E_API_KEY, E2E_AUTH_TOKEN, E2E_PROJECT_ID and E2E_LOCATION.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path

import aioe2e


async def planned(session: aioe2e.Session, pattern: str, replacement: str) -> aioe2e.Plan:
    """New names for the images whose whole name matches, checked against all existing names."""
    images = await session.images.list()
    matches = {image.image_id: re.fullmatch(pattern, image.name) for image in images}
    names = {image_id: match.expand(replacement) for image_id, match in matches.items() if match}
    return aioe2e.Plan.rename(names, existing=images)


async def carry_out(session: aioe2e.Session, plan: aioe2e.Plan, journal: Path) -> aioe2e.Report:
    """Run the plan, and once more the steps that failed with a transient error."""
    report = await session.images.run(plan, limit=16, journal=journal)
    if report.remaining():
        print(report)
        report = await session.images.run(aioe2e.Plan.resume(journal), limit=16, journal=journal)
    return report


async def rename_all(
    options: argparse.Namespace, unfinished: aioe2e.Plan | None
) -> aioe2e.Report | None:
    async with aioe2e.Session.from_env() as session:
        plan = (
            await planned(session, options.pattern, options.replacement)
            if unfinished is None
            else unfinished
        )
        print(plan)
        return await carry_out(session, plan, options.journal) if options.go else None


def main() -> int:
    parser = argparse.ArgumentParser(description="Rename images by a regular expression.")
    parser.add_argument("pattern")
    parser.add_argument("replacement")
    parser.add_argument("--go", action="store_true", help="rename; without it, only show the plan")
    parser.add_argument("--journal", type=Path, default=Path("rename.journal"))
    options = parser.parse_args()
    try:
        unfinished = aioe2e.Plan.resume(options.journal) if options.journal.exists() else None
        report = asyncio.run(rename_all(options, unfinished))
    except (aioe2e.E2EError, re.error) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        return 130
    if report is None:
        return 0
    print(report)
    if not report.remaining():
        options.journal.unlink()
    return 0 if report.ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
