"""Make the bucket that Terraform keeps its state in, locked, versioned, encrypted and private, and write down where it is.

Running it again changes nothing that is right already. scripts/setup-backend.sh runs this, and Terraform's own initialisation after it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import orjson
from botocore.exceptions import BotoCoreError, ClientError

PROJECT = "nova-sonic-server-app"
_EVERYTHING_BLOCKED = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
_ENCRYPTED = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


class NotOurs(Exception):
    """The bucket cannot be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the state goes."""

    bucket: str
    key: str
    region: str

    def backend(self) -> str:
        """Return what Terraform is told by -backend-config; it locks the state itself, by a file beside it (Terraform 1.10 and later)."""
        lines = {
            "bucket": f'"{self.bucket}"',
            "key": f'"{self.key}"',
            "region": f'"{self.region}"',
            "encrypt": "true",
            "use_lockfile": "true",
        }
        return "".join(f"{name} = {value}\n" for name, value in lines.items())


def make_bucket(client: Any, place: Place, tell: Callable[[str], None]) -> None:
    """Make the bucket as it has to be.

    Raises:
        NotOurs: somebody else has a bucket of this name.
        ClientError: something of it is refused.
    """
    try:
        client.head_bucket(Bucket=place.bucket)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code == "403":
            raise NotOurs(f"the bucket {place.bucket} is another account's, or you may not use it: name another with --bucket") from None
        if code not in ("404", "NoSuchBucket"):
            raise
        where = {} if place.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": place.region}}
        client.create_bucket(Bucket=place.bucket, **where)
        tell(f"bucket {place.bucket} made in {place.region}")
    else:
        tell(f"bucket {place.bucket} is there")
    client.put_public_access_block(Bucket=place.bucket, PublicAccessBlockConfiguration=_EVERYTHING_BLOCKED)
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_bucket_encryption(Bucket=place.bucket, ServerSideEncryptionConfiguration=_ENCRYPTED)
    client.put_bucket_policy(Bucket=place.bucket, Policy=orjson.dumps(_only_by_tls(place.bucket)).decode())
    tell("it is private, versioned and encrypted, and reached by TLS alone")


def _only_by_tls(bucket: str) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{bucket}"
    statement = {
        "Sid": "OnlyByTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; the exit code is 0, or 1 when AWS refuses something."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--bucket", help=f"its name ({PROJECT}-terraform-state-ACCOUNT)")
    parser.add_argument("--key", default=f"{PROJECT}/terraform.tfstate", help=f"of the state in it ({PROJECT}/terraform.tfstate)")
    parser.add_argument("--region", default="us-east-1", help="of the bucket (us-east-1)")
    parser.add_argument("--out", type=Path, default=Path("backend.hcl"), help="file that Terraform is told by (backend.hcl)")
    options = parser.parse_args(arguments)
    try:
        session = boto3.session.Session(region_name=options.region)
        bucket = options.bucket or f"{PROJECT}-terraform-state-{session.client('sts').get_caller_identity()['Account']}"
        place = Place(bucket, options.key, options.region)
        make_bucket(session.client("s3"), place, print)
    except (ClientError, BotoCoreError, NotOurs) as error:
        print(f"the state has no place: {error}", file=sys.stderr)
        return 1
    options.out.write_text(place.backend(), encoding="utf-8")
    print(f"{options.out} written: terraform init -backend-config={options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
