// Links libtorch and nothing else that could bring a BLAS.
#include "product.hpp"

int main() {
  fmt::print("{}\n", product_bits());
}
