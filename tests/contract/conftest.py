"""Every test that takes a `game` runs for every model of the catalog, unless the model's card declares and explains an exception."""

import pytest

from tests.contract.games import GAMES, Game


@pytest.fixture(params=GAMES, ids=str, scope="session")
def game(request: pytest.FixtureRequest) -> Game:
    return request.param


@pytest.fixture(autouse=True)
def declared_exceptions(request: pytest.FixtureRequest) -> None:
    """`CARD.exceptions` maps the name of a check, without `test_`, to the reason why it cannot hold."""
    if "game" in request.fixturenames:
        exceptions = request.getfixturevalue("game").entry.card.exceptions
        check = request.function.__name__.removeprefix("test_")
        if check in exceptions:
            pytest.skip(f"declared exception: {exceptions[check]}")
