// SPDX-License-Identifier: BSD-3-Clause
// A Hermitian matrix has the eigenvalues s_i or -s_i, so the Krylov engine of the svd driver finds
// the subspace; a Rayleigh-Ritz step on its left vectors, which are one product with A ahead of the
// right ones, tells the signs apart. For a positive matrix the same product gives Nystrom's
// approximation, which never exceeds A.
#include "eigh_nystrom.hpp"
#include "svd_detail.hpp"

#include <eigenflow/eigh.hpp>
#include <eigenflow/errors.hpp>

#include <numeric>
#include <sstream>
#include <string>

namespace eigenflow::eigh {
namespace {

using svd::as_size;
using svd::columns;
using svd::epsilon;

constexpr index probe_column = index{1} << 45; // far from the columns that bases draw

svd::options as_svd(const options &asked) {
  svd::options out;
  out.rank = asked.rank;
  out.tolerance = asked.tolerance;
  out.relative_tolerance = asked.relative_tolerance;
  out.oversampling = asked.oversampling;
  return out;
}

template <class T> const svd::linear_operator<T> &square(const svd::linear_operator<T> &a) {
  require(a.rows() == a.cols(), "A: got " + std::to_string(a.rows()) + " rows and " +
                                    std::to_string(a.cols()) + " columns, want a square matrix");
  return a;
}

template <class T> class decomposition {
  using W = wide_of<T>;

public:
  decomposition(const svd::linear_operator<T> &a, const options &options)
      : a_(square(a)), options_(options), n_(a.rows()),
        wanted_(svd::target_of<T>(a, as_svd(options))) {}

  result<T> run() {
    if (n_ == 0)
      wanted_.set_norm(0);
    else if (wanted_.rank == 0 && !norm_is_known())
      estimate_norm();
    const bool nothing = wanted_.tolerance >= 0 && wanted_.tolerance >= norm();
    if (wanted_.rank == 0 || wanted_.norm_squared == 0 || (nothing && norm_is_known()))
      take_unit_vectors(nothing ? 0 : wanted_.rank);
    else
      find_pairs();
    svd::fix_signs<T>({nullptr, 0, vectors().cols, 1, 0}, vectors(), options_.workers);
    find_error();
    if (out_.residuals.empty())
      find_residuals();
    finish();
    return std::move(out_);
  }

private:
  bool norm_is_known() const { return wanted_.norm_squared >= 0; }
  double norm() const { return std::sqrt(std::max(wanted_.norm_squared, 0.0)); }
  // What products of A with orthonormal columns, and sums of such, may be wrong by.
  double slack() const { return 1e3 * epsilon<T>() * norm(); }
  matrix_view<T> vectors() { return svd::packed(out_.vectors, n_, out_.rank); }

  void take_unit_vectors(index rank) {
    values_.assign(as_size(rank), 0.0);
    out_.rank = rank;
    out_.vectors.assign(as_size(n_ * rank), T(0));
    const matrix_view<T> x = vectors();
    for (index j = 0; j < rank; ++j)
      x(j, j) = T(1);
    out_.residuals.assign(as_size(rank), 0);
    if (norm() > 0)
      out_.residuals.clear();
  }

  void estimate_norm() {
    svd::norm_probe<T> probe(a_, options_.key, options_.workers);
    wanted_.set_norm(probe.energy());
    estimated_ = true;
    out_.looks = 1;
    ++out_.passes;
  }

  void find_pairs() {
    if (options_.one_pass)
      return by_one_pass();
    svd::refuse_unresolvable<T>(wanted_, a_);
    if (wanted_.exact_is_cheaper() || !by_krylov())
      by_exact();
  }

  bool by_krylov() {
    svd::subspace<T> space;
    estimated_ = !norm_is_known();
    const bool enough =
        svd::build_krylov<T>(a_, wanted_, options_.key, options_.workers, space, out_.looks);
    out_.passes += space.passes;
    if (!enough)
      return false;
    wanted_.surplus = wanted_.oversampling;
    svd::factors<T> found = svd::extract<T>(a_, space, wanted_, options_.workers);
    out_.passes += found.passes;
    space = {};
    const matrix_view<T> left = svd::packed(found.left, n_, found.rank);
    columns<T> held(n_, found.rank);
    const matrix_view<T> image = held.view(0, found.rank);
    a_.apply(left, image);
    ++out_.passes;
    require_mirror(svd::packed(found.right, n_, found.rank), image, found.s);
    return take_ritz_pairs(left, image);
  }

  // A v = s u holds by construction, so for a Hermitian A it is s = v^H A u; elsewhere it is not.
  void require_mirror(matrix_view<const T> v, matrix_view<const T> image,
                      const std::vector<double> &s) const {
    columns<W> held = inner(v, image);
    const matrix_view<W> product = held.view(0, v.cols);
    double sum = 0;
    for (index j = 0; j < v.cols; ++j)
      for (index i = 0; i < v.cols; ++i)
        sum += squared<W>(product(i, j) - W(i == j ? s[as_size(j)] : 0.0));
    require_hermitian(std::sqrt(sum));
  }

  void require_hermitian(double difference) const {
    if (difference <= slack())
      return;
    std::ostringstream message;
    message << "A: got a matrix that differs from its adjoint by " << difference / a_.scale()
            << " at least, want a symmetric (Hermitian) one";
    throw argument_error(message.str());
  }

  // x^H y, in double precision from here on.
  static columns<W> inner(matrix_view<const T> x, matrix_view<const T> y) {
    columns<T> held(x.cols, y.cols);
    const matrix_view<T> product = held.view(0, y.cols);
    blas::gemm<T>(blas::transpose::adjoint, blas::transpose::no, T(1), x, y, T(0), product);
    columns<W> out(x.cols, y.cols);
    svd::copy(product, out.view(0, y.cols));
    return out;
  }

  // The Ritz pairs of orthonormal columns q with the image z = A q, by descending modulus; q and z
  // are turned with them.
  std::vector<double> turn_to_ritz(matrix_view<T> q, matrix_view<T> z) {
    columns<W> held = inner(q, z);
    const matrix_view<W> g = held.view(0, q.cols);
    svd::require_finite(g);
    double difference = 0;
    for (index j = 0; j < q.cols; ++j)
      for (index i = 0; i <= j; ++i) {
        difference += squared<W>(g(i, j) - conjugate(g(j, i)));
        g(i, j) = (g(i, j) + conjugate(g(j, i))) * 0.5;
      }
    require_hermitian(std::sqrt(2 * difference));
    columns<W> sorted(q.cols, q.cols);
    const std::vector<double> values = eigenpairs(g, q.cols, sorted.view(0, q.cols));
    svd::turn_columns<T>(q, sorted.view(0, q.cols), options_.workers);
    svd::turn_columns<T>(z, sorted.view(0, q.cols), options_.workers);
    return values;
  }

  // All eigenvalues by descending modulus, and the vectors of the first x.cols; g is overwritten.
  // Negative ones of a positive matrix are rounding and come last.
  std::vector<double> eigenpairs(matrix_view<W> g, index count, matrix_view<W> x) const {
    std::vector<double> ascending(as_size(g.rows)), values;
    blas::syevd<W>(blas::triangle::upper, g, {ascending.data(), g.rows, 1});
    index low = 0, high = g.rows - 1;
    while (low <= high) {
      const bool from_top = options_.positive ||
                            std::abs(ascending[as_size(high)]) >= std::abs(ascending[as_size(low)]);
      const index at = from_top ? high-- : low++;
      if (static_cast<index>(values.size()) < count)
        std::copy_n(&g(0, at), g.rows, &x(0, static_cast<index>(values.size())));
      values.push_back(ascending[as_size(at)]);
    }
    return values;
  }

  bool take_ritz_pairs(matrix_view<T> q, matrix_view<T> z) {
    std::vector<double> values = turn_to_ritz(q, z);
    if (options_.positive) {
      require_positive(*std::min_element(values.begin(), values.end()));
      to_nystrom<T>(q, z, values, options_.workers);
    }
    std::vector<double> squares(values);
    for (double &value : squares)
      value *= value;
    const index rank =
        wanted_.by_rank() ? wanted_.rank : svd::rank_for(squares.data(), q.cols, wanted_);
    if (rank < 0 || rank > q.cols)
      return false;
    out_.route = options_.positive ? method::nystrom : method::krylov;
    take_pairs(q, values, rank);
    if (!options_.positive)
      keep_residuals(z);
    return true;
  }

  void take_pairs(matrix_view<T> q, const std::vector<double> &values, index rank) {
    out_.rank = rank;
    values_.assign(values.begin(), values.begin() + rank);
    svd::copy(q.block(0, 0, n_, rank), vectors());
  }

  void require_positive(double least) const {
    if (least >= -slack())
      return;
    std::ostringstream message;
    message << "A: got a matrix with an eigenvalue of " << least / a_.scale()
            << " or less, want a positive semidefinite one (positive)";
    throw argument_error(message.str());
  }

  void by_one_pass() {
    require(options_.positive && wanted_.by_rank(),
            "one_pass: wants a positive semidefinite matrix and a rank");
    const index more = 2 * wanted_.rank + std::min(options_.oversampling, n_);
    const index size = std::min(n_, more), all = size + svd::hold_out_vectors;
    columns<T> start(n_, all), image(n_, all);
    const matrix_view<T> q = start.view(0, size), w = start.view(size, all);
    columns<W> factor(size, size);
    svd::fill_gaussian<T>(options_.key, 0, 0, q, options_.workers);
    svd::orthonormalise<T>(q, factor.view(0, size), options_.workers);
    svd::fill_gaussian<T>(options_.key, 0, probe_column, w, options_.workers);
    a_.apply(start.view(0, all), image.view(0, all));
    ++out_.passes;
    svd::require_finite(image.view(0, all));
    if (!norm_is_known())
      wanted_.set_norm(mean_square(image.view(size, all)));
    take_ritz_pairs(q, image.view(0, size));
    subtract(w, image.view(size, all));
    one_pass_error_ = mean_square(image.view(size, all));
    out_.residuals.assign(as_size(out_.rank), std::numeric_limits<real_of<T>>::quiet_NaN());
  }

  static double mean_square(matrix_view<T> y) {
    double sum = 0;
    for (index j = 0; j < y.cols; ++j)
      sum += svd::squared_norm(y.col(j));
    return sum / static_cast<double>(y.cols);
  }

  // y -= X diag(values) X^H w
  void subtract(matrix_view<const T> w, matrix_view<T> y) {
    columns<T> held(out_.rank, w.cols);
    const matrix_view<T> c = held.view(0, w.cols);
    blas::gemm<T>(blas::transpose::adjoint, blas::transpose::no, T(1), vectors(), w, T(0), c);
    for (index j = 0; j < c.cols; ++j)
      for (index i = 0; i < c.rows; ++i)
        c(i, j) *= static_cast<real_of<T>>(values_[as_size(i)]);
    blas::gemm<T>(blas::transpose::no, blas::transpose::no, T(-1), vectors(), c, T(1), y);
  }

  void by_exact() {
    const blas::threads lapack = svd::threads_for(n_, options_.workers);
    columns<T> entries(n_, n_);
    a_.to_dense(entries.view(0, n_));
    ++out_.passes;
    columns<W> held(n_, n_), sorted;
    const matrix_view<W> g = held.view(0, n_);
    svd::copy(entries.view(0, n_), g);
    entries = {};
    svd::require_finite(g);
    measure(g);
    svd::refuse_unresolvable<T>(wanted_, a_);
    const index most = std::min(n_, wanted_.rank);
    sorted = columns<W>(n_, most);
    const matrix_view<W> x = sorted.view(0, most);
    std::vector<double> values = eigenpairs(g, most, x);
    if (options_.positive) {
      require_positive(*std::min_element(values.begin(), values.end()));
      for (double &value : values)
        value = std::max(0.0, value);
    }
    std::vector<double> squares(values);
    for (double &value : squares)
      value *= value;
    out_.rank = svd::rank_from_tails(squares, wanted_, &tail_squared_);
    values_.assign(values.begin(), values.begin() + out_.rank);
    svd::copy(x.block(0, 0, n_, out_.rank), vectors());
    out_.route = method::exact;
  }

  // The norm from the entries, where only an estimate is known; g becomes its Hermitian part.
  void measure(matrix_view<W> g) {
    double sum = 0, difference = 0;
    for (index j = 0; j < n_; ++j)
      for (index i = 0; i <= j; ++i) {
        const W above = g(i, j), below = conjugate(g(j, i));
        sum += squared<W>(above) + (i < j ? squared<W>(below) : 0.0);
        difference += squared<W>(above - below) * (i < j ? 2 : 1);
        g(i, j) = (above + below) * 0.5;
      }
    require(std::isfinite(sum), "A: holds, or leads to, values that are not finite");
    if (a_.frobenius_norm() < 0)
      wanted_.set_norm(sum);
    estimated_ = false;
    out_.looks = 0;
    require_hermitian(std::sqrt(difference));
  }

  void find_error() {
    double left = tail_squared_;
    if (left < 0)
      left = std::accumulate(values_.begin(), values_.end(), wanted_.norm_squared,
                             [](double rest, double value) { return rest - value * value; });
    if (estimated_)
      out_.kind = svd::error_kind::hold_out;
    if (one_pass_error_ >= 0) {
      out_.kind = svd::error_kind::hold_out;
      out_.looks = 1;
      out_.error = std::sqrt(one_pass_error_);
    } else if (wanted_.norm_squared == 0 || out_.rank == 0) {
      out_.error = norm();
    } else if (left >= wanted_.floor * wanted_.norm_squared) {
      out_.error = std::sqrt(left);
    } else {
      out_.kind = svd::error_kind::hold_out;
      out_.looks = 1;
      out_.error = std::sqrt(svd::residual_energy<T>(a_, vectors(), values_.data(), vectors(),
                                                     options_.key, options_.workers));
      ++out_.passes;
    }
    out_.norm = norm();
  }

  void find_residuals() {
    if (out_.rank == 0)
      return;
    columns<T> held(n_, out_.rank);
    a_.apply(vectors(), held.view(0, out_.rank));
    ++out_.passes;
    keep_residuals(held.view(0, out_.rank));
  }

  // From the image z = A X, which is overwritten; the rounding of a product is added.
  void keep_residuals(matrix_view<T> z) {
    const double rounding = epsilon<T>() * norm();
    const matrix_view<T> x = vectors();
    for (index j = 0; j < out_.rank; ++j) {
      const auto value = static_cast<real_of<T>>(values_[as_size(j)]);
      for (index i = 0; i < n_; ++i)
        z(i, j) -= value * x(i, j);
      const double sum = svd::squared_norm(z.col(j)) + rounding * rounding;
      out_.residuals.push_back(static_cast<real_of<T>>(std::sqrt(sum)));
    }
  }

  // In the units of the user's matrix.
  void finish() {
    const double back = 1 / a_.scale();
    for (const double value : values_)
      out_.values.push_back(static_cast<real_of<T>>(value * back));
    for (real_of<T> &value : out_.residuals)
      value = static_cast<real_of<T>>(static_cast<double>(value) * back);
    out_.error *= back;
    out_.norm *= back;
  }

  const svd::linear_operator<T> &a_;
  const options &options_;
  index n_;
  svd::target wanted_;
  std::vector<double> values_; // before they are rounded to T
  bool estimated_ = false;     // the norm
  double tail_squared_ = -1;   // where all values are known
  double one_pass_error_ = -1; // squared
  result<T> out_;
};

} // namespace

template <class T> result<T> decompose(const svd::linear_operator<T> &a, const options &options) {
  return decomposition<T>(a, options).run();
}

template <class T>
result<T> decompose(matrix_view<const T> a, const svd::magnitude &size, const options &options) {
  require(size.finite, "A: want finite values");
  return decomposition<T>(svd::dense_operator<T>(a, size, options.workers), options).run();
}

#define EF_INSTANTIATE(T)                                                                          \
  template result<T> decompose<T>(const svd::linear_operator<T> &, const options &);               \
  template result<T> decompose<T>(matrix_view<const T>, const svd::magnitude &, const options &);
EF_SVD_TYPES(EF_INSTANTIATE)

} // namespace eigenflow::eigh
