"""A process that carries out a journaled plan, for a test to kill: ``kill_child.py URL KEY TOKEN PLAN JOURNAL REPORT``."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aioe2e


def planned(plan_file: str, journal: str) -> aioe2e.Plan:
    if Path(journal).exists():
        return aioe2e.Plan.resume(journal)
    return aioe2e.Plan.from_dict(json.loads(Path(plan_file).read_text()))


async def carried_out(
    plan: aioe2e.Plan, journal: str, url: str, key: str, token: str
) -> aioe2e.Report:
    credentials = aioe2e.Credentials(api_key=key, auth_token=token)
    retry = aioe2e.RetryPolicy(base=0.002, cap=0.01, look=0.1)
    async with aioe2e.Session(credentials, base_url=url, retry=retry) as session:
        return await session.images.run(plan, limit=4, journal=journal)


def main(url: str, key: str, token: str, plan_file: str, journal: str, report_file: str) -> None:
    report = asyncio.run(carried_out(planned(plan_file, journal), journal, url, key, token))
    Path(report_file).write_text(json.dumps(report.to_dict()))


if __name__ == "__main__":
    main(*sys.argv[1:])
