from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from hrrr_dask.archive.sources import SOURCES, Source, object_url, parse_source
from hrrr_dask.errors import ConfigError
from hrrr_dask.objects.locations import check_options, local_path, normal_url

KEY = "hrrr.20240101/conus/hrrr.t06z.wrfsfcf05.grib2"


@pytest.mark.parametrize("name", SOURCES)
def test_every_mirror_is_found_by_its_name(name):
    source = parse_source(name)
    assert source == SOURCES[name]
    assert object_url(source, KEY) == f"{source.url}/{KEY}"


@pytest.mark.parametrize("name", ["aws", "google"])
def test_the_public_buckets_are_read_without_credentials(name):
    assert ("anonymous", "true") in SOURCES[name].options


def test_an_option_goes_before_the_mirrors_own():
    source = parse_source("aws", {"endpoint": "http://127.0.0.1:9000/"})
    assert dict(source.options) == {"anonymous": "true", "endpoint": "http://127.0.0.1:9000", "region": "us-east-1"}


@pytest.mark.parametrize("source", [*SOURCES.values(), Source("s3://b", "s3://b", (("region", "eu-west-1"),))])
def test_a_source_is_a_key_and_travels(source):
    assert {source: 1}[pickle.loads(pickle.dumps(source))] == 1


def test_a_directory_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my archive").mkdir()
    source = parse_source("my archive")
    assert source.url == (tmp_path / "my archive").as_uri()
    assert source == parse_source(source.url + "/")
    assert object_url(source, KEY) == str(tmp_path / "my archive" / KEY)


def test_a_name_goes_before_a_directory_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("aws").mkdir()
    assert parse_source("aws").url.startswith("s3://")
    assert parse_source("./aws").url == (tmp_path / "aws").as_uri()


def test_a_misspelt_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean 'google'\? write one of aws, google, azure, nomads"):
        parse_source("gogle")


@pytest.mark.parametrize("text", ["no/such/place", "file:///no/such/place"])
def test_a_missing_directory_is_refused(text):
    with pytest.raises(ConfigError, match="neither a known name nor an existing directory"):
        parse_source(text)


def test_a_file_is_not_a_directory(tmp_path):
    (tmp_path / "points.csv").write_text("")
    with pytest.raises(ConfigError, match="existing directory"):
        parse_source(str(tmp_path / "points.csv"))


def test_an_empty_source_is_refused():
    with pytest.raises(ConfigError, match="a source is empty"):
        parse_source(" ")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("gs://bucket", "gs://bucket"),
        ("https://example.org:8443/hrrr//", "https://example.org:8443/hrrr"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("file:///data/my%20hrrr/", "file:///data/my%20hrrr"),
        ("/data/my hrrr", "file:///data/my%20hrrr"),
    ],
)
def test_urls_have_one_form(text, url):
    assert normal_url(text) == url
    assert normal_url(url) == url


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ftp://example.org", "ftp:// is not a kind of storage known here"),
        ("az://container", "write s3://, gs://"),
        ("s3:///prefix", "names no bucket or host"),
        (str(Path("s3://bucket/prefix")), "has one slash after its scheme, as pathlib writes URLs"),
        (str(Path("icechunk+s3://bucket/prefix")), "give the URL as a string"),
        ("file://relative/path", "write file:///absolute/path"),
        ("http://[::1", "malformed"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(text, says):
    with pytest.raises(ConfigError, match=says):
        parse_source(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@example.org/hrrr",
        "s3://AKIA:hunter2@bucket/prefix",
        "https://example.blob.core.windows.net/hrrr?sig=hunter2",
        "https://example.org/hrrr#hunter2",
    ],
)
def test_a_credential_in_a_url_is_refused_and_not_repeated(text):
    with pytest.raises(ConfigError, match="credentials by the environment") as caught:
        parse_source(text)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="credentials by the environment") as caught:
        check_options("s3://bucket", {"endpoint": text.replace("s3://", "https://")})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "access_key_id",
        "aws_secret_access_key",
        "AWS_SESSION_TOKEN",
        "token",
        "password",
        "key",
        "secret",
        "bearer_token",
        "sas_token",
        "service_account_key",
    ],
)
def test_an_option_that_looks_like_a_secret_is_refused_and_not_repeated(key):
    with pytest.raises(ConfigError, match="looks like a secret: give credentials by the environment") as caught:
        parse_source("s3://bucket", {key: "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("s3://bucket", "regoin", r"did you mean 'region'\?"),
        ("s3://bucket", "skip_signature", r"did you mean 'anonymous'\?"),
        ("s3://bucket", "endpoint_url", r"did you mean 'endpoint'\?"),
        ("gs://bucket", "region", "unknown for gs://: It takes anonymous, endpoint, allow_http"),
        ("https://example.org", "anon", "unknown for https://: It takes no options"),
        ("s3://bucket", "zzz", "It takes anonymous"),
    ],
)
def test_an_unknown_option_is_refused_with_a_suggestion(text, key, says):
    with pytest.raises(ConfigError, match=says):
        parse_source(text, {key: "true"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"anonymous": "maybe"}, "anonymous is true or false, not 'maybe'"),
        ({"endpoint": "s3.example.org"}, "endpoint is a URL such as"),
        ({"region": ""}, "region is empty"),
        ({"endpoint": "http://127.0.0.1:1", "allow_http": "false"}, "not encrypted"),
    ],
)
def test_a_bad_value_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        parse_source("s3://bucket", options)


def test_nomads_is_asked_no_more_often_than_it_likes_and_any_source_may_have_a_limit():
    assert SOURCES["nomads"].per_minute == 100
    assert parse_source("nomads").per_minute == 100
    assert parse_source("nomads", {"requests_per_minute": "20"}) == replace(SOURCES["nomads"], per_minute=20)
    assert parse_source("aws").per_minute == 0
    limited = parse_source("https://example.org/hrrr", {"requests_per_minute": "60"})
    assert (limited.per_minute, limited.options) == (60, ())


@pytest.mark.parametrize("text", ["", "-1", "many", "1.5"])
def test_a_limit_that_is_no_number_is_refused(text):
    with pytest.raises(ConfigError, match="requests_per_minute is a whole number"):
        parse_source("nomads", {"requests_per_minute": text})


def test_truth_values_have_one_form():
    spelled = {"anonymous": "Yes", "allow_http": "0", "virtual_hosted_style": "FALSE"}
    assert check_options("s3://bucket", spelled) == (
        ("allow_http", "false"),
        ("anonymous", "true"),
        ("virtual_hosted_style", "false"),
    )


def test_only_directories_have_a_path():
    assert local_path("file:///data/my%20hrrr") == Path("/data/my hrrr")
    assert local_path("https://example.org/data") is None
