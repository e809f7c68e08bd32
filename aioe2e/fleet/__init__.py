"""One budget, and one writer of each image, for many processes: kept in Redis.

Needs ``pip install 'aioe2e[redis]'``::

    client = redis.asyncio.Redis.from_url("redis://10.0.0.5:6379/0")
    async with aioe2e.Session.from_env(
        limiter=RedisLimiter(client), guard=RedisGuard(client)
    ) as session:
        ...

Nothing else in the package imports this room.
"""

from .guard import RedisGuard
from .limiter import RedisLimiter

__all__ = ["RedisGuard", "RedisLimiter"]
