"""A limiter and a guard for many processes that share one account, kept in Redis.

Needs the extra ``redis`` (``pip install '.[redis]'`` in a clone)::

    client = redis.asyncio.Redis.from_url("redis://10.0.0.5:6379/0")
    async with aioe2e.Session.from_env(
        limiter=RedisLimiter(client), guard=RedisGuard(client)
    ) as session:
        ...
"""

from .guard import RedisGuard
from .limiter import RedisLimiter

__all__ = ["RedisGuard", "RedisLimiter"]
