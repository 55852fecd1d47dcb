#define CIFARPIPE_ISA baseline
#define CIFARPIPE_VECTOR_BYTES 16
#include "stages/learn/fused_kernels.inc"
