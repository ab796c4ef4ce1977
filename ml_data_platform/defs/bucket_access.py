"""The resource of a root whose buckets are reached through dagster-aws's ``S3Resource``.

Belongs here: translating its configuration. Does not belong here: a root whose buckets are reached as every AWS tool
reaches them, which needs no more than its settings.
"""

import dagster as dg
from dagster_aws.s3 import S3Resource

from ml_data_platform.defs.resources import PlatformResource
from ml_data_platform.settings import Settings
from ml_data_platform.storage.s3_client import S3Connection


class PlatformInBucket(PlatformResource):
    """The platform of one root; the root itself, its landing folder or its pull sources are in buckets.

    Attributes:
        s3: How all of them are reached. Give credentials as ``EnvVar``: Dagster then shows their names, not their values.
    """

    s3: S3Resource

    @classmethod
    def through(cls, settings: Settings, s3: S3Resource, now: str | None = None) -> "PlatformInBucket":
        """Make the resource of ``settings``."""
        return cls(settings=settings.model_dump(mode="json", exclude_none=True), now=now, s3=s3)

    def connection(self) -> S3Connection:
        """Return the configuration of the resource; what it leaves open is as the settings say."""
        s3, settings = self.s3, Settings.model_validate(dict(self.settings))
        keys = (s3.aws_access_key_id, s3.aws_secret_access_key, s3.aws_session_token)
        if any(isinstance(key, dg.EnvVar) for key in keys):
            # Outside of a run nobody has resolved them yet.
            keys = tuple(key.get_value() if isinstance(key, dg.EnvVar) else key for key in keys)  # type: ignore[assignment]
        return S3Connection(
            endpoint_url=s3.endpoint_url or settings.s3_endpoint_url,
            attempts=s3.max_attempts,
            region_name=s3.region_name or settings.s3_region_name,
            profile_name=s3.profile_name or settings.s3_profile_name,
            addressing_style=settings.s3_addressing_style,
            use_ssl=s3.use_ssl,
            verify=s3.verify,
            is_unsigned=s3.use_unsigned_session,
            credentials=keys if any(keys) else None,
        )
