"""The numbers that the kernels know activations, costs, functions and rules by: the enums of kernels.h."""

from enum import IntEnum


class Activation(IntEnum):
    """σ of a layer."""

    IDENTITY = 0
    RELU = 1
    SIGMOID = 2
    TANH = 3
    SOFTPLUS = 4
    SOFTMAX = 5
    LEAKY_RELU = 6
    ELU = 7
    GELU = 8
    SILU = 9


class CostFunction(IntEnum):
    """C of a sample."""

    MSE = 0
    BINARY_CROSS_ENTROPY = 1
    CATEGORICAL_CROSS_ENTROPY = 2
    MAE = 3
    HUBER = 4
    LOG_COSH = 5
    GAUSSIAN_NLL = 6
    HINGE = 7


class Function(IntEnum):
    """An elementary function."""

    EXP = 0
    EXP_OF_NEGATIVE = 1
    EXPM1_OF_NEGATIVE = 2
    LOG = 3
    LOG1P_OF_FRACTION = 4


class Rule(IntEnum):
    """How an optimizer changes v."""

    SGD = 0
    MOMENTUM = 1
    NESTEROV = 2
    ADAM = 3
    RMSPROP = 4
    ADAGRAD = 5
    NADAM = 6
