// SPDX-License-Identifier: BSD-3-Clause
// One long series whose blocks of time are on different ranks. What a block does to any law before
// it is one element (Sarkka and Garcia-Fernandez 2021): given the state x before the block,
//   the state after it is N(A x + b, C), and the block's likelihood is exp(eta'x - x'J x / 2).
// Elements combine associatively; an exclusive scan of them gives every rank its start.
//
// A block soon forgets its start: once A has vanished, filtering from a known state gives what
// filtering from the right one would give. So a rank filters its block before the scan, and only
// the steps that still remember are filtered again after it.
#include "lds_filter.hpp"
#include "lds_gaps.hpp"
#include "lds_step.hpp"

#include <eigenflow/parallel.hpp>

#include <cmath>
#include <limits>

namespace eigenflow::lds {
namespace {

constexpr double forgotten = 1e-30; // entries of A
constexpr const char *exact_number =
    "system: got an observed number without noise before the block has any, want R positive "
    "definite where a series is cut in time";

// An element in the order of its message.
struct element {
  explicit element(index n_) : n(n_), values(count(length(n_)), 0.0) {}
  static index length(index n) { return 3 * n * n + 2 * n; }
  static element identity(index n) {
    element e(n);
    for (index i = 0; i < n; ++i)
      e.A()[i * n + i] = 1;
    return e;
  }
  double *A() { return values.data(); }
  double *C() { return A() + n * n; }
  double *J() { return C() + n * n; }
  double *b() { return J() + n * n; }
  double *eta() { return b() + n; }
  bool forgets() const {
    for (index i = 0; i < n * n; ++i)
      if (!(std::abs(values[count(i)]) <= forgotten))
        return false;
    return true;
  }
  index n;
  buffer values;
};

element element_of(index n, std::span<const double> values) {
  element e(n);
  std::copy(values.begin(), values.end(), e.values.begin());
  return e;
}

// x = (I + P J)^-1 x for the m columns of x; NaN where that is singular, since nothing may be
// thrown in the middle of a scan.
void weigh(index n, index m, const double *P, const double *J, double *x) {
  buffer system = small::identity(n), product(count(n * n));
  small::multiply(n, n, n, P, J, product.data());
  for (std::size_t i = 0; i < system.size(); ++i)
    system[i] += product[i];
  if (!small::solve(n, m, system.data(), x))
    std::fill_n(x, n * m, std::numeric_limits<double>::quiet_NaN());
}

// second = first followed by second. With M = (I + C1 J2)^-1:
//   A2 M A1,  A2 M (b1 + C1 eta2) + b2,  A2 M C1 A2' + C2,
//   J1 + A1' J2 M A1,  eta1 + A1' (eta2 - J2 M (b1 + C1 eta2)).
void join(index n, std::span<const double> first_values, std::span<double> second_values) {
  element first = element_of(n, first_values), second = element_of(n, second_values), out(n);
  buffer moved(first.A(), first.A() + n * n), spread(first.C(), first.C() + n * n),
      mean(first.b(), first.b() + n), work(count(n * n)), other(count(n * n)), shift(count(n));
  small::apply(n, n, first.C(), second.eta(), shift.data());
  for (index i = 0; i < n; ++i)
    mean[count(i)] += shift[count(i)];
  weigh(n, n, first.C(), second.J(), moved.data());
  weigh(n, n, first.C(), second.J(), spread.data());
  weigh(n, 1, first.C(), second.J(), mean.data());
  small::multiply(n, n, n, second.A(), moved.data(), out.A());
  small::multiply(n, n, n, second.A(), spread.data(), work.data());
  small::multiply_right_transposed(n, n, n, work.data(), second.A(), out.C());
  small::apply(n, n, second.A(), mean.data(), out.b());
  small::multiply(n, n, n, second.J(), moved.data(), work.data());
  small::multiply_left_transposed(n, n, n, first.A(), work.data(), out.J());
  small::apply(n, n, second.J(), mean.data(), shift.data());
  for (index i = 0; i < n; ++i)
    shift[count(i)] = second.eta()[i] - shift[count(i)];
  small::apply_transposed(n, n, first.A(), shift.data(), out.eta());
  for (index i = 0; i < n * n; ++i) {
    out.C()[i] += second.C()[i];
    out.J()[i] += first.J()[i];
  }
  for (index i = 0; i < n; ++i) {
    out.b()[i] += second.b()[i];
    out.eta()[i] += first.eta()[i];
  }
  small::symmetrise(n, out.C());
  small::symmetrise(n, out.J());
  std::copy(out.values.begin(), out.values.end(), second_values.begin());
}

// The law of an infinite variance along D, once the element has seen it: with W = (I + P J)^-1 D
// and G = D' J W, the coordinates along D are N(G^-1 D' (eta - J (mean + P eta weighed)), G^-1).
void resolve_diffuse(index n, const belief &start, element &e, buffer &mean, buffer &cov) {
  const index k = start.n_diffuse;
  const double *D = start.diffuse.data();
  buffer W(start.diffuse), seen(count(n * k)), G(count(k * k)), rest(count(n)), along(count(k));
  weigh(n, k, start.cov.data(), e.J(), W.data());
  small::multiply(n, n, k, e.J(), W.data(), seen.data());
  small::multiply_left_transposed(k, n, k, D, seen.data(), G.data());
  small::symmetrise(k, G.data());
  small::apply(n, n, e.J(), mean.data(), rest.data());
  for (index i = 0; i < n; ++i)
    rest[count(i)] = e.eta()[i] - rest[count(i)];
  small::apply_transposed(n, k, D, rest.data(), along.data());
  buffer inverse(count(k * k));
  double log_det = 0;
  require(small::inverse_cholesky(k, G.data(), inverse.data(), log_det),
          "y: the blocks before this one do not tell a state of infinite variance; want a longer "
          "first block");
  buffer half(count(k)), steps(count(k)), root(count(n * k)), spread(count(n * n));
  small::apply(k, k, inverse.data(), along.data(), half.data());
  small::apply_transposed(k, k, inverse.data(), half.data(), steps.data());
  small::multiply_right_transposed(n, k, k, W.data(), inverse.data(), root.data());
  small::multiply_right_transposed(n, k, n, root.data(), root.data(), spread.data());
  for (index i = 0; i < n; ++i)
    mean[count(i)] += small::dot(k, W.data() + i * k, steps.data());
  for (std::size_t i = 0; i < cov.size(); ++i)
    cov[i] += spread[i];
}

// The law after an element, from that before it.
belief after(element &e, const belief &start) {
  const index n = e.n;
  for (const double value : e.values)
    require(std::isfinite(value), "system: got blocks with a law that leaves the range of double");
  if (e.forgets()) {
    belief out{buffer(e.b(), e.b() + n), buffer(e.C(), e.C() + n * n), {}, 0};
    return out;
  }
  buffer mean(start.mean), cov(start.cov), shift(count(n)), work(count(n * n));
  small::apply(n, n, start.cov.data(), e.eta(), shift.data());
  for (index i = 0; i < n; ++i)
    mean[count(i)] += shift[count(i)];
  weigh(n, 1, start.cov.data(), e.J(), mean.data());
  weigh(n, n, start.cov.data(), e.J(), cov.data());
  belief out{buffer(count(n)), buffer(count(n * n)), {}, 0};
  const bool blind = std::all_of(e.J(), e.J() + n * n, [](double x) { return x == 0; });
  if (blind) {
    out.n_diffuse = start.n_diffuse;
    out.diffuse.resize(start.diffuse.size());
    small::multiply(n, n, start.n_diffuse, e.A(), start.diffuse.data(), out.diffuse.data());
  } else if (start.n_diffuse > 0) {
    resolve_diffuse(n, start, e, mean, cov);
  }
  small::apply(n, n, e.A(), mean.data(), out.mean.data());
  for (index i = 0; i < n; ++i)
    out.mean[count(i)] += e.b()[i];
  small::congruence(n, n, e.A(), cov.data(), e.C(), out.cov.data(), work.data());
  return out;
}

// The element of a block while it remembers its start. After `steps` steps A has vanished, or the
// block is at its end.
struct memory {
  element made;
  index steps = 0;
};

// Filters from a known state; A, J and eta follow from how an innovation depends on that state.
memory remember(const model &system, const observations &series, const filter_options &options) {
  model_cursor cursor(system, series.inputs);
  const dense_model &now = cursor.now();
  const index n = now.n;
  memory out{element::identity(n)};
  element &e = out.made;
  belief state{buffer(count(n)), buffer(count(n * n)), {}, 0};
  stepper step(now, resolve_form(options.form, now, state));
  observed_rows rows(now);
  std::vector<scalar_update> updates;
  buffer seen(count(n)), moved(count(n * n));
  interrupt_poll poll;
  for (; out.steps < series.y.rows && !e.forgets(); ++out.steps) {
    if (out.steps % 16 == 0)
      poll();
    if (options.check_finite)
      check_row(series.y, out.steps);
    cursor.seek(out.steps);
    rows.read(series.y.row(out.steps));
    updates.clear();
    step.update(state, rows, &updates);
    for (index r = 0; r < rows.n_rows; ++r) {
      const scalar_update &u = updates[count(r)];
      small::apply_transposed(n, n, e.A(), rows.loadings.data() + r * n, seen.data());
      require(u.used || !(small::norm(seen) > 0), exact_number);
      if (!u.used)
        continue;
      for (index i = 0; i < n; ++i) {
        e.eta()[i] += seen[count(i)] * u.innovation / u.variance;
        for (index j = 0; j < n; ++j) {
          e.J()[i * n + j] += seen[count(i)] * seen[count(j)] / u.variance;
          e.A()[i * n + j] -= u.covariance[count(i)] / u.variance * seen[count(j)];
        }
      }
    }
    step.predict(state, rows);
    small::multiply(n, n, n, rows.transition().data(), e.A(), moved.data());
    std::copy(moved.begin(), moved.end(), e.A());
    require(step.in_range(), "system: got a variance that leaves the range of double");
  }
  std::copy(state.mean.begin(), state.mean.end(), e.b());
  std::copy(state.cov.begin(), state.cov.end(), e.C());
  return out;
}

matrix_view<double> rows_of(matrix_view<double> m, index begin, index end) {
  return m.rows == 0 ? m : m.block(begin, 0, end - begin, m.cols);
}

// Steps [begin, end) of a block.
filter_result part(const model &system, const belief &start, const observations &series,
                   index begin, index end, const filter_outputs &out,
                   const filter_options &options) {
  model moved = system;
  const auto advance = [&](auto &view, index stride) { view.data += begin * stride; };
  advance(moved.transition, system.step.transition);
  advance(moved.observation, system.step.observation);
  advance(moved.state_noise, system.step.state_noise);
  advance(moved.obs_noise, system.step.obs_noise);
  advance(moved.cross_noise, system.step.cross_noise);
  advance(moved.state_offset, system.step.state_offset);
  advance(moved.obs_offset, system.step.obs_offset);
  advance(moved.state_input, system.step.state_input);
  advance(moved.obs_input, system.step.obs_input);
  const matrix_view<const double> inputs =
      series.inputs.rows == 0 ? series.inputs
                              : series.inputs.block(begin, 0, end - begin, series.inputs.cols);
  const filter_outputs to{
      rows_of(out.filtered_mean, begin, end), rows_of(out.predicted_mean, begin, end),
      rows_of(out.innovations, begin, end),
      out.log_likelihood_terms.size == 0 ? out.log_likelihood_terms
                                         : out.log_likelihood_terms.slice(begin, end)};
  return filter(moved, start, {series.y.block(begin, 0, end - begin, series.y.cols), inputs}, to,
                options);
}

// The two laws differ by rounding.
bool same_law(const belief &a, const belief &b, index n) {
  if (a.n_diffuse != 0 || b.n_diffuse != 0)
    return false;
  for (index i = 0; i < n; ++i) {
    const double deviation = std::sqrt(std::max(b.cov[count(i * n + i)], 0.0));
    const double far = std::abs(a.mean[count(i)] - b.mean[count(i)]);
    if (!(far <= 1e-13 * (std::abs(b.mean[count(i)]) + deviation)))
      return false;
    for (index j = 0; j < n; ++j) {
      const double scale = deviation * std::sqrt(std::max(b.cov[count(j * n + j)], 0.0));
      if (!(std::abs(a.cov[count(i * n + j)] - b.cov[count(i * n + j)]) <= 1e-12 * scale))
        return false;
    }
  }
  return true;
}

void append(covariance_sequence &first, const covariance_sequence &second, index size) {
  const auto offset = static_cast<std::int32_t>(static_cast<index>(first.values.size()) / size);
  first.values.insert(first.values.end(), second.values.begin(), second.values.end());
  for (const std::int32_t place : second.index)
    first.index.push_back(place + offset);
}

// A result for steps [0, cut) and one for the steps that follow.
filter_result joined(filter_result first, filter_result second, index cut, index n, index p) {
  first.log_likelihood += second.log_likelihood;
  first.n_diffuse += second.n_diffuse;
  if (first.steady_from < 0 && second.steady_from >= 0)
    first.steady_from = second.steady_from + cut;
  first.error_bound = std::max(first.error_bound, second.error_bound);
  first.final_state = std::move(second.final_state);
  append(first.predicted_cov, second.predicted_cov, n * n);
  append(first.filtered_cov, second.filtered_cov, n * n);
  append(first.innovation_cov, second.innovation_cov, p * p);
  return first;
}

// A rank's work: what can be done before its start is known, and what is left.
class time_block {
public:
  time_block(const model &system, const belief &start, const observations &series,
             const filter_outputs &out, const filter_options &options)
      : system_(system), start_(start), series_(series), out_(out), options_(options),
        n_(system.transition.rows), n_steps_(series.y.rows) {}

  filter_result run(const guarded_group &ranks) {
    if (ranks.rank() == 0)
      result_ = part(system_, start_, series_, 0, n_steps_, out_, options_);
    element own = ranks.size() == 1 ? element::identity(n_) : own_element(ranks.rank() == 0);
    ranks.exscan(own.values, [this](std::span<const double> first, std::span<double> second) {
      join(n_, first, second);
    });
    if (ranks.rank() > 0)
      finish(after(own, start_));
    double sum = result_.log_likelihood;
    ranks.allreduce(std::span(&sum, 1), reduction::sum);
    std::int64_t n_diffuse = result_.n_diffuse;
    ranks.allreduce(std::span(&n_diffuse, 1), reduction::sum);
    result_.log_likelihood = sum;
    result_.n_diffuse = n_diffuse;
    return std::move(result_);
  }

private:
  // The first rank knows its start, so its element is its final law, unless that is still diffuse.
  element own_element(bool first) {
    if (n_steps_ == 0)
      return element::identity(n_);
    if (first && result_.final_state.n_diffuse == 0) {
      element e(n_);
      std::copy(result_.final_state.mean.begin(), result_.final_state.mean.end(), e.b());
      std::copy(result_.final_state.cov.begin(), result_.final_state.cov.end(), e.C());
      return e;
    }
    memory kept = remember(system_, series_, options_);
    element &e = kept.made;
    cut_ = kept.steps;
    if (cut_ == n_steps_)
      return e;
    // Beyond the memory, the laws of a known start are those of any.
    known_ = {buffer(e.b(), e.b() + n_), buffer(e.C(), e.C() + n_ * n_), {}, 0};
    try {
      rest_ =
          part(system_, known_, series_, cut_, n_steps_, first ? filter_outputs{} : out_, options_);
    } catch (const argument_error &) {
      // The same from the first step on, for a message that counts steps from there.
      part(system_, {buffer(count(n_)), buffer(count(n_ * n_)), {}, 0}, series_, 0, n_steps_, {},
           options_);
      throw;
    }
    std::copy(rest_.final_state.mean.begin(), rest_.final_state.mean.end(), e.b());
    std::copy(rest_.final_state.cov.begin(), rest_.final_state.cov.end(), e.C());
    return e;
  }

  void finish(const belief &start) {
    if (cut_ > 0 && cut_ < n_steps_) {
      filter_result head = part(system_, start, series_, 0, cut_, out_, options_);
      if (same_law(head.final_state, known_, n_)) {
        result_ = joined(std::move(head), std::move(rest_), cut_, n_, system_.observation.rows);
        return;
      }
    }
    result_ = part(system_, start, series_, 0, n_steps_, out_, options_);
  }

  const model &system_;
  const belief &start_;
  const observations &series_;
  const filter_outputs &out_;
  const filter_options &options_;
  index n_, n_steps_;
  index cut_ = 0; // steps that remember the start
  belief known_;  // after them, from a known start
  filter_result result_, rest_;
};

} // namespace

filter_result filter(const model &system, const belief &start, const observations &block,
                     const filter_outputs &out, const filter_options &options,
                     const rank_group &group) {
  return together(group, [&](const guarded_group &ranks) {
    ranks.same("system", system.transition.rows, "one state dimension for all");
    ranks.same("y", block.y.cols, "as many observed series on every rank");
    return time_block(system, start, block, out, options).run(ranks);
  });
}

} // namespace eigenflow::lds
