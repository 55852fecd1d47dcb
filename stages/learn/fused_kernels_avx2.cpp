#define CIFARPIPE_ISA avx2
#define CIFARPIPE_VECTOR_BYTES 32
#include "stages/learn/fused_kernels.inc"
