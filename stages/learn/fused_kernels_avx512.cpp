#define CIFARPIPE_ISA avx512
#define CIFARPIPE_VECTOR_BYTES 64
#include "stages/learn/fused_kernels.inc"
