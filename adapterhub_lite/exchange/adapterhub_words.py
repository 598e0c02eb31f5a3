"""The words of the library `adapters` for bottlenecks: options, named architectures, activations.

The values are those of its configuration classes, version 1.3.0; before the key `version` some
names meant something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

LIBRARY = "adapters"

BOTTLENECK: Mapping[str, Any] = MappingProxyType(
    {
        "original_ln_before": False,
        "original_ln_after": True,
        "ln_before": False,
        "ln_after": False,
        "init_weights": "bert",
        "init_weights_seed": None,
        "is_parallel": False,
        "scaling": 1.0,
        "use_gating": False,
        "residual_before_ln": True,
        "adapter_residual_before_ln": False,
        "inv_adapter": None,
        "inv_adapter_reduction_factor": None,
        "cross_adapter": False,
        "leave_out": [],
        "dropout": 0.0,
        "phm_layer": False,
        "phm_dim": 4,
        "factorized_phm_W": True,
        "shared_W_phm": False,
        "shared_phm_rule": True,
        "factorized_phm_rule": False,
        "phm_c_init": "normal",
        "phm_init_range": 0.0001,
        "learn_phm": True,
        "hypercomplex_nonlinearity": "glorot-uniform",
        "phm_rank": 1,
        "phm_bias": True,
        "stochastic_depth": 0.0,
    }
)
"""The library's options of a bottleneck that need not be given, with its defaults."""

FLAGS = (
    "mh_adapter",
    "output_adapter",
    "original_ln_before",
    "original_ln_after",
    "ln_before",
    "ln_after",
    "is_parallel",
    "use_gating",
    "adapter_residual_before_ln",
)
NEEDED = ("mh_adapter", "output_adapter", "reduction_factor", "non_linearity")

_PFEIFFER = {
    "mh_adapter": False,
    "output_adapter": True,
    "original_ln_before": True,
    "reduction_factor": 16,
    "non_linearity": "relu",
}
_HOULSBY = {
    "mh_adapter": True,
    "output_adapter": True,
    "reduction_factor": 16,
    "non_linearity": "swish",
}
_PARALLEL = {
    "mh_adapter": False,
    "output_adapter": True,
    "reduction_factor": 2,
    "non_linearity": "relu",
    "init_weights": "mam_adapter",
    "is_parallel": True,
    "scaling": 4.0,
}
_INVERSE = {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}
_SCALED = {**_PARALLEL, "scaling": "learned"}
_PHM = {"phm_layer": True, "reduction_factor": 32, "non_linearity": "gelu"}

NAMED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "pfeiffer": _PFEIFFER,
        "seq_bn": _PFEIFFER,
        "pfeiffer+inv": {**_PFEIFFER, **_INVERSE},
        "seq_bn_inv": {**_PFEIFFER, **_INVERSE},
        "houlsby": _HOULSBY,
        "double_seq_bn": _HOULSBY,
        "houlsby+inv": {**_HOULSBY, **_INVERSE},
        "double_seq_bn_inv": {**_HOULSBY, **_INVERSE},
        "parallel": _PARALLEL,
        "par_bn": _PARALLEL,
        "scaled_parallel": _SCALED,
        "scaled_par_bn": _SCALED,
        "compacter": {**_HOULSBY, **_PHM},
        "compacter++": {**_PFEIFFER, **_PHM},
    }
)
"""The library's named architectures of bottlenecks: what they say apart from the defaults."""

ACTIVATIONS = MappingProxyType(
    {
        "relu": "relu",
        "gelu": "gelu",
        "gelu_python": "gelu",
        "gelu_new": "gelu_new",
        "gelu_pytorch_tanh": "gelu_new",
        "gelu_fast": "gelu_new",
        "swish": "silu",
        "silu": "silu",
        "tanh": "tanh",
        "leakyrelu": "leaky_relu",
    }
)
"""The library's names of non-linearities, and ours."""

RENAMED = MappingProxyType({"gelu": "gelu_new", "gelu_orig": "gelu"})
"""What names meant in configs from before the key `version`."""
