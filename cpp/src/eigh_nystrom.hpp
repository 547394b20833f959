// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <eigenflow/views.hpp>

#include <vector>

namespace eigenflow::eigh {

// Nystrom's approximation A q (q^H A q)^-1 (A q)^H of a positive matrix, from Ritz vectors q, their
// image z = A q and the Ritz values. q becomes its eigenvectors, values its eigenvalues in
// descending order; z is overwritten.
template <class T>
void to_nystrom(matrix_view<T> q, matrix_view<T> z, std::vector<double> &values, int workers);

} // namespace eigenflow::eigh
