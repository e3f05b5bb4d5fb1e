"""FLOPs and bytes as they are counted in a program, against numbers worked out by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from ldl_jax import models
from ldl_jax.models import cost


@pytest.fixture(autouse=True)
def hlo(monkeypatch):
    """The benchmarks are not installed: they are run from the repository."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks import hlo

    return hlo


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_flops_of_a_product_and_of_a_loop_of_them(hlo):
    def product(x, w):
        return x @ w

    def several(x, w):
        return jax.lax.fori_loop(0, 5, lambda _, x: product(x, w), x)

    flops = 2 * 8 * 16 * 16
    for function, loop in ((product, None), (several, 5)):
        lowered = jax.jit(function).lower(shape(8, 16), shape(16, 16))
        assert hlo.Module(lowered.as_text("hlo")).flops() == flops
        compiled = hlo.Module(lowered.compile().as_text())
        assert compiled.known_trip_count() == loop
        assert not compiled.host_calls()


@pytest.mark.parametrize("stride", [1, 2])
def test_flops_of_a_convolution_and_its_gradients(hlo, stride):
    def convolve(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def gradients(x, w, dy):
        return jax.vjp(convolve, x, w)[1](dy)

    x, w = shape(4, 8, 8, 6), shape(3, 3, 6, 10)
    dy = shape(4, 8 // stride, 8 // stride, 10)
    once = 2 * dy.size * 3 * 3 * 6
    assert hlo.Module(jax.jit(convolve).lower(x, w).as_text("hlo")).flops() == once
    text = jax.jit(gradients).lower(x, w, dy).as_text("hlo")
    # That to the input has the same products, but for what falls on the padding.
    assert hlo.Module(text).flops() == pytest.approx(2 * once, rel=0.01)


def test_a_network_s_flops_are_twice_its_multiply_adds(hlo):
    model = models.build("resnet10_tiny")
    params, state = jax.eval_shape(model.init, jax.random.key(0))

    def features(params, state, images):
        return model.apply(params, state, images, train=False)[0]

    images = shape(2, 64, 64, 3)
    with models.convolution.plain():
        text = jax.jit(features).lower(params, state, images).as_text("hlo")
    assert hlo.Module(text).flops() == 2 * cost.multiply_adds(features, params, state, images)


CALL = (
    "custom-call(%m, %w), window={size=3x3}, dim_labels=b01f_o01i->b01f, "
    'custom_call_target="__cudnn$convForward", operand_precision={highest,highest}'
)
TEXT = f"""HloModule jit_f, input_output_alias={{ {{0}}: (0, {{}}, may-alias) }}

%fused (p: f32[100,8], i: s32[4]) -> bf16[4,8] {{
  %p = f32[100,8]{{1,0}} parameter(0)
  %i = s32[4]{{0}} parameter(1)
  %g = f32[4,8]{{1,0}} gather(%p, %i), offset_dims={{1}}
  ROOT %c = bf16[4,8]{{1,0}} convert(%g)
}}

%update (a: f32[16,10], b: f32[1,10], k: s32[]) -> f32[16,10] {{
  %a = f32[16,10]{{1,0}} parameter(0)
  %b = f32[1,10]{{1,0}} parameter(1)
  %k = s32[] parameter(2)
  ROOT %d = f32[16,10]{{1,0}} dynamic-update-slice(%a, %b, %k, %k)
}}

ENTRY %main (x: f32[100,8], i: s32[4], r: f32[16,10], s: f32[1,10], k: s32[]) -> f32[16,10] {{
  %x = f32[100,8]{{1,0}} parameter(0)
  %i.1 = s32[4]{{0}} parameter(1)
  %r = f32[16,10]{{1,0}} parameter(2)
  %s = f32[1,10]{{1,0}} parameter(3)
  %k.1 = s32[] parameter(4)
  %rows = bf16[4,8]{{1,0}} fusion(%x, %i.1), kind=kLoop, calls=%fused
  %y = (bf16[2,6,6,5]{{3,2,1,0}}, u8[0]{{0}}) {CALL}
  %m = bf16[2,8,8,3]{{3,2,1,0}} copy(%rows)
  %w = bf16[5,3,3,3]{{3,2,1,0}} copy(%rows)
  ROOT %out = f32[16,10]{{1,0}} fusion(%r, %s, %k.1), kind=kLoop, calls=%update
}}
"""


def test_bytes_are_those_that_kernels_touch(hlo):
    module = hlo.Module(TEXT)
    kernels = {kernel.name: kernel for kernel in module.step()}
    assert list(kernels) == ["rows", "y", "m", "w", "out"]
    # four rows of 8 in float32, their four indices, and the result in bfloat16
    assert kernels["rows"].nbytes == 4 * 8 * 4 + 4 * 4 + 4 * 8 * 2
    # the row is read and written; the rest of the array stays where it is
    assert kernels["out"].nbytes == 2 * 10 * 4 + 4
    assert kernels["y"].flops == 2 * (2 * 6 * 6 * 5) * 3 * 3 * 3
    assert kernels["y"].nbytes == 2 * (2 * 6 * 6 * 5 + 2 * 8 * 8 * 3 + 5 * 27)
    assert module.donated() == 1
    assert module.loop() is None
    assert module.may_use_tf32() == []
    assert [x.name for x in module.convolutions()] == ["y"]
