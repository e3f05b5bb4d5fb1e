"""A signal is noted and ends a run after a step; a SIGINT that was ignored before stays ignored."""

import signal

import pytest

from ldl_jax.train.interrupt import Interrupt


@pytest.fixture
def before(request):
    """The handler of SIGINT that the run starts with."""
    saved = signal.signal(signal.SIGINT, request.param)
    yield request.param
    signal.signal(signal.SIGINT, saved)


@pytest.mark.parametrize("before", [signal.default_int_handler], indirect=True)
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_the_handler_comes_back(before, kind):
    with Interrupt() as interrupt:
        assert interrupt.check() is None
        signal.raise_signal(kind)
        assert interrupt.check() == kind
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("before", [signal.SIG_IGN], indirect=True)
def test_a_background_job_ignores_ctrl_c_and_takes_sigterm(before):
    with Interrupt() as interrupt:
        assert signal.getsignal(signal.SIGINT) is before
        signal.raise_signal(signal.SIGINT)
        assert interrupt.check() is None
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.check() == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is before
