# ruff: noqa: ARG001 - user functions have the arguments they are called with
"""Inputs in S3 whose credentials expire, or come from a profile that GDAL does not know."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest
from botocore.tokens import SSOTokenProvider
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import ImageOpenError, S3Error
from rios_batch.read import credentials
from rios_batch.read.facts import describe
from tests.read.test_cloud_inputs import forget_settings
from tests.s3server import ON_LOOPBACK, REGION, make_bucket
from tests.support import ROOT, make_raster, ramp, run_python, run_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rios_batch.aws.objects import Bucket
    from tests.s3server import S3Server

pytestmark = ON_LOOPBACK
EXPIRY = ROOT / "tests" / "e2e" / "scripts" / "reads_after_expiry.py"
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
ROLE = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>%s</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
SSO_PROFILE = f"""
[sso-session institute]
sso_start_url = https://institute.example/start
sso_region = {REGION}
[profile science]
sso_session = institute
sso_account_id = 123456789012
sso_role_name = Scientist
region = {REGION}
"""
ROLE_PROFILE = f"""
[profile home]
aws_access_key_id = HOME
aws_secret_access_key = secret
[profile science]
role_arn = arn:aws:iam::123456789012:role/Scientist
source_profile = home
region = {REGION}
"""
PROGRAM_PROFILE = f"""
[profile science]
credential_process = {{program}}
region = {REGION}
"""
PROFILES = {"identity center": SSO_PROFILE, "role": ROLE_PROFILE, "program": PROGRAM_PROFILE}


class Keyring:
    """Lets S3 serve only requests that are signed with a key that is good now.

    Identity Center, STS and a program give that key out. Whoever asks STS must have the key HOME.
    """

    def __init__(self, server: S3Server, folder: Path) -> None:
        self.good = "FIRST"
        self.used: list[str] = []
        self.given = 0
        self.seconds_left = 3600
        self._keys_of_program = folder / "keys.json"
        self.program = f"{sys.executable} -c \"print(open('{self._keys_of_program}').read())\""
        self.renew("FIRST", seconds=3600)
        server.decide = self.decide

    def renew(self, key: str, *, seconds: int) -> None:
        """Have a key that is good from now on, and said to be so for some seconds."""
        self.good, self.seconds_left = key, seconds
        keys = {"AccessKeyId": key, "SecretAccessKey": "secret", "SessionToken": "token"}
        self._keys_of_program.write_text(json.dumps({"Version": 1, "Expiration": self.expiry(), **keys}))

    def decide(self, environ: dict[str, Any]) -> tuple[str, bytes] | None:
        if environ["PATH_INFO"] == "/federation/credentials":
            self.given += 1
            return "200 OK", json.dumps({"roleCredentials": self.keys_of_role()}).encode()
        if "/sts/aws4_request" in environ.get("HTTP_AUTHORIZATION", ""):
            assert "Credential=HOME/" in environ["HTTP_AUTHORIZATION"]
            self.given += 1
            return "200 OK", ROLE % (self.good.encode(), self.expiry().encode())
        found = re.search(r"Credential=(\w+)/", environ.get("HTTP_AUTHORIZATION", ""))
        self.used.append(found[1] if found else "")
        return None if self.used[-1] == self.good else ("400 Bad Request", EXPIRED)

    def expiry(self) -> str:
        """Give the time when the key expires, as AWS writes it."""
        expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.seconds_left)
        return f"{expires:%Y-%m-%dT%H:%M:%SZ}"

    def keys_of_role(self) -> dict[str, Any]:
        return {
            "accessKeyId": self.good,
            "secretAccessKey": "secret",
            "sessionToken": "token",
            "expiration": int(dt.datetime.fromisoformat(self.expiry()).timestamp() * 1000),
        }


@pytest.fixture
def image(bucket: Bucket, tmp_path: Path) -> str:
    make_raster(tmp_path / "in.tif", ramp(1, 600, 256), options=["TILED=YES"])
    bucket.upload(tmp_path / "in.tif", "in.tif")
    return f"s3://{bucket.name}/in.tif"


@pytest.fixture
def keyring(image: str, s3_server: S3Server, tmp_path: Path) -> Keyring:
    return Keyring(s3_server, tmp_path)


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Forget what GDAL was given, and what boto3 knows; let nobody's own profiles be found."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # Looked up once, when botocore is imported.
    monkeypatch.setattr(
        SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path / "home" / ".aws" / "sso" / "cache")
    )
    forget_settings()
    monkeypatch.setattr(credentials, "_handed", credentials._Handed())
    yield
    gdal.VSICurlClearCache()
    forget_settings()


@pytest.fixture
def _no_keys_in_the_environment(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)


def use_profile(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "config").write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_PROFILE", "science")


def log_in(folder: Path, *, until: str = "2099-01-01T00:00:00Z") -> None:
    """Leave what `aws sso login` leaves."""
    cache = folder / "home" / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    token = {"accessToken": "token", "expiresAt": until, "region": REGION}
    (cache / f"{hashlib.sha1(b'institute').hexdigest()}.json").write_text(json.dumps(token))


def run(image: str, out: Path, in_first_block: Callable[[], None] = lambda: None) -> None:
    """Copy the image, block by block, with the cache of GDAL emptied after the first block."""

    def copy(info: Any, inputs: Any, outputs: Any) -> None:
        outputs.out = inputs.image
        if info.isFirstBlock():
            in_first_block()
            gdal.VSICurlClearCache()

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = image, str(out)
    controls = applier.ApplierControls()
    controls.setOmitPyramids(True)
    applier.apply(copy, infiles, outfiles, controls=controls)
    assert np.array_equal(gdal.Open(str(out)).ReadAsArray(), ramp(1, 600, 256)[0])


@pytest.mark.usefixtures("_no_keys_in_the_environment")
@pytest.mark.parametrize("case", ["one", "reopened", "vrt", "second"])
def test_a_roles_credentials_are_renewed_for_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")

    done = run_python(EXPIRY, case, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert re.match(r"read with [23] keys", done.stdout)


def test_a_web_identity_of_the_users_own_stays_in_use(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/a/token")

    describe(image)

    assert gdal.GetConfigOption("CPL_AWS_WEB_IDENTITY_ENABLE") is None


@pytest.mark.usefixtures("_no_keys_in_the_environment")
def test_keys_that_a_program_renews_in_a_file_are_read_again_when_they_have_expired(
    image: str, keyring: Keyring, tmp_path: Path
) -> None:
    file = tmp_path / "home" / ".aws" / "credentials"
    file.parent.mkdir(parents=True)
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = secret\naws_session_token = token\n"
    file.write_text(text.format("FIRST"))

    def renew() -> None:
        file.write_text(text.format("SECOND"))
        keyring.good = "SECOND"

    run(image, tmp_path / "out.tif", renew)

    assert keyring.used[-1] == "SECOND"


def test_what_is_broken_for_good_is_read_twice_and_told(image: str, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("cut.tif", bucket.get("in.tif")[:100_000])

    with pytest.raises(ImageOpenError, match=r"cut\.tif' cannot be read at"):
        run(f"s3://{bucket.name}/cut.tif", tmp_path / "out.tif")


@pytest.mark.usefixtures("_no_keys_in_the_environment")
@pytest.mark.parametrize("kind", PROFILES)
def test_a_profile_that_only_boto3_knows_is_read_with(
    image: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    use_profile(monkeypatch, tmp_path, PROFILES[kind].format(program=keyring.program))
    log_in(tmp_path)

    run(image, tmp_path / "out.tif")

    assert set(keyring.used) == {"FIRST"}
    assert keyring.given == (0 if kind == "program" else 1)  # once for the whole run


@pytest.mark.usefixtures("_no_keys_in_the_environment")
@pytest.mark.parametrize("kind", PROFILES)
def test_keys_of_a_profile_are_renewed_before_they_expire(
    image: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    use_profile(monkeypatch, tmp_path, PROFILES[kind].format(program=keyring.program))
    log_in(tmp_path)
    keyring.renew("FIRST", seconds=60)  # boto3 renews keys that live less than ten minutes

    def expire() -> None:
        keyring.used.clear()
        keyring.renew("SECOND", seconds=3600)

    run(image, tmp_path / "out.tif", expire)

    assert set(keyring.used) == {"SECOND"}  # no request was refused


@pytest.mark.usefixtures("_no_keys_in_the_environment")
def test_a_role_is_assumed_for_buckets_that_are_not_public_and_the_requester_pays_where_that_was_set(
    image: str,
    bucket: Bucket,
    keyring: Keyring,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked: dict[str, set[tuple[str, str]]] = {}

    def decide(environ: dict[str, Any]) -> tuple[str, bytes] | None:
        answer, (place, _, key) = keyring.decide(environ), environ["PATH_INFO"][1:].partition("/")
        if key:  # GDAL lists a bucket with the settings of all buckets
            payer = environ.get("HTTP_X_AMZ_REQUEST_PAYER", "")
            asked.setdefault(place, set()).add((keyring.used[-1], payer))
        return None if key and not keyring.used[-1] else answer

    s3_server.decide = lambda _: None
    paid, public = make_bucket(s3_server).name, make_bucket(s3_server).name
    for name in (paid, public):
        boto3.client("s3", aws_access_key_id="a", aws_secret_access_key="b").put_object(
            Bucket=name, Key="in.tif", Body=bucket.get("in.tif"), ACL="public-read"
        )
    use_profile(monkeypatch, tmp_path, ROLE_PROFILE)
    gdal.SetPathSpecificOption(f"/vsis3/{paid}/", "AWS_REQUEST_PAYER", "requester")
    gdal.SetPathSpecificOption(f"/vsis3/{public}/", "AWS_NO_SIGN_REQUEST", "YES")
    s3_server.decide = decide

    for place in (bucket.name, paid, public):
        describe(f"s3://{place}/in.tif")

    assert asked == {bucket.name: {("FIRST", "")}, paid: {("FIRST", "requester")}, public: {("", "")}}


@pytest.mark.usefixtures("_no_keys_in_the_environment")
@pytest.mark.parametrize("login", ["none", "expired"])
def test_without_a_login_it_is_said_how_to_log_in(
    image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, login: str
) -> None:
    use_profile(monkeypatch, tmp_path, SSO_PROFILE)
    if login == "expired":
        log_in(tmp_path, until="2020-01-01T00:00:00Z")

    with pytest.raises(
        S3Error, match=rf"^input '{image}' cannot be used without AWS credentials .*aws sso login"
    ):
        describe(image)


@pytest.mark.usefixtures("_no_keys_in_the_environment")
def test_a_local_vrt_of_inputs_in_s3_is_read_with_the_profile(
    image: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_profile(monkeypatch, tmp_path, SSO_PROFILE)
    log_in(tmp_path)
    vrt = gdal.BuildVRT("", [str(tmp_path / "in.tif")]).GetMetadata("xml:VRT")[0]
    source = image.replace("s3://", "/vsis3/")
    vrt = re.sub(r'relativeToVRT="."', 'relativeToVRT="0"', vrt).replace(str(tmp_path / "in.tif"), source)
    assert source in vrt
    (tmp_path / "in.vrt").write_text(vrt)

    run(str(tmp_path / "in.vrt"), tmp_path / "out.tif")

    assert set(keyring.used) == {"FIRST"}


@pytest.mark.parametrize("how", ["environment", "of the bucket"])
@pytest.mark.usefixtures("_no_keys_in_the_environment")
def test_keys_that_were_set_for_gdal_stay(
    image: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    use_profile(monkeypatch, tmp_path, SSO_PROFILE)  # nobody has logged in
    for name, value in {"AWS_ACCESS_KEY_ID": "FIRST", "AWS_SECRET_ACCESS_KEY": "own"}.items():
        if how == "environment":
            monkeypatch.setenv(name, value)
        else:
            gdal.SetPathSpecificOption(image.replace("s3://", "/vsis3/"), name, value)
            gdal.SetPathSpecificOption(image.replace("s3://", "/vsis3/").removesuffix("in.tif"), name, value)

    run(image, tmp_path / "out.tif")

    assert set(keyring.used) == {"FIRST"}


@pytest.mark.usefixtures("_no_keys_in_the_environment")
def test_a_public_bucket_is_read_unsigned_without_a_login(
    image: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    boto3.client("s3", aws_access_key_id="a", aws_secret_access_key="b").put_object_acl(
        Bucket=bucket.name, Key="in.tif", ACL="public-read"
    )
    use_profile(monkeypatch, tmp_path, SSO_PROFILE)  # nobody has logged in
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")

    run(image, tmp_path / "out.tif")


@pytest.mark.parametrize("place", ["local", "s3"])
def test_reading_without_such_a_profile_does_without_boto3(image: str, tmp_path: Path, place: str) -> None:
    script = """
        import sys
        from osgeo import gdal
        from rios_batch.read.facts import open_raster

        gdal.UseExceptions()
        open_raster(sys.argv[1])
        print("boto3" in sys.modules)
        """

    done = run_script(tmp_path, script, image if place == "s3" else str(tmp_path / "in.tif"))

    assert done.stdout == "False\n", done.stderr
