// SPDX-License-Identifier: BSD-3-Clause
// Threads as ranks: the algorithms that take a communicator, without MPI.
#include "blas_fixture.hpp"
#include "check.hpp"

#include <eigenflow/flow.hpp>
#include <eigenflow/lds.hpp>
#include <eigenflow/rng.hpp>
#include <eigenflow/sine.hpp>
#include <eigenflow/svd.hpp>

#include <algorithm>
#include <barrier>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <thread>

using namespace eigenflow;

namespace {

// What the threads of one group share.
struct board {
  explicit board(int n) : size(n), meet(n), at(static_cast<std::size_t>(n)) {}
  int size;
  std::barrier<> meet;
  std::vector<const void *> at;
};

class thread_comm {
public:
  thread_comm(board &shared, int rank) : shared_(shared), rank_(rank) {}
  int rank() const { return rank_; }
  int size() const { return shared_.size; }
  template <class R> void allreduce(std::span<R> x, reduction how) const {
    const std::vector<R> mine(x.begin(), x.end());
    show(mine.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      R total = of<R>(0)[i];
      for (int r = 1; r < size(); ++r) {
        const R next = of<R>(r)[i];
        total = how == reduction::sum   ? total + next
                : how == reduction::min ? std::min(total, next)
                                        : std::max(total, next);
      }
      x[i] = total;
    }
    shared_.meet.arrive_and_wait();
  }
  void exscan(std::span<double> x, const combine &op) const {
    const std::vector<double> mine(x.begin(), x.end());
    show(mine.data());
    if (rank_ > 0)
      std::copy_n(of<double>(rank_ - 1), x.size(), x.begin());
    for (int r = rank_ - 2; r >= 0; --r)
      op({of<double>(r), x.size()}, x);
    shared_.meet.arrive_and_wait();
  }
  void bcast(std::span<std::byte> x, int root) const {
    show(x.data());
    if (rank_ != root)
      std::copy_n(of<std::byte>(root), x.size(), x.begin());
    shared_.meet.arrive_and_wait();
  }

private:
  void show(const void *mine) const {
    shared_.at[static_cast<std::size_t>(rank_)] = mine;
    shared_.meet.arrive_and_wait();
  }
  template <class R> const R *of(int rank) const {
    return static_cast<const R *>(shared_.at[static_cast<std::size_t>(rank)]);
  }
  board &shared_;
  int rank_;
};
static_assert(communicator<thread_comm> && communicator<self_comm>);

// Runs body on n ranks; returns what each threw, empty for none.
std::vector<std::string> on_ranks(int n, const std::function<void(const thread_comm &)> &body) {
  board shared(n);
  std::vector<std::string> errors(static_cast<std::size_t>(n));
  std::vector<std::thread> threads;
  for (int r = 0; r < n; ++r)
    threads.emplace_back([&, r] {
      try {
        body(thread_comm(shared, r));
      } catch (const std::exception &error) {
        errors[static_cast<std::size_t>(r)] = error.what();
      }
    });
  for (auto &thread : threads)
    thread.join();
  return errors;
}

bool all_well(const std::vector<std::string> &errors) {
  return std::all_of(errors.begin(), errors.end(), [](const std::string &e) { return e.empty(); });
}

std::vector<double> normals(std::uint64_t key, std::int64_t rows, std::int64_t cols) {
  std::vector<double> out(static_cast<std::size_t>(rows * cols));
  rng::fill_normals<double>(key, 0, 0, row_major(out.data(), rows, cols), 1);
  return out;
}

} // namespace

TEST(svd_of_row_blocks) {
  const std::int64_t m = 90, n = 20, k = 6, cuts[] = {0, 50, 50, 90};
  const std::vector<double> a = normals(1, m, n);
  svd::options options;
  options.rank = k;
  options.workers = 1;
  const auto want = svd::decompose<double>(row_major(a.data(), m, n), options);
  std::vector<svd::result<double>> got(3);
  CHECK(all_well(on_ranks(3, [&](const thread_comm &comm) {
    const auto r = static_cast<std::size_t>(comm.rank());
    got[r] = svd::decompose<double>(row_major(a.data() + cuts[r] * n, cuts[r + 1] - cuts[r], n),
                                    options, comm);
  })));
  for (std::size_t r = 0; r < 3; ++r)
    for (std::int64_t j = 0; j < k; ++j) {
      const auto at = static_cast<std::size_t>(j);
      CHECK_CLOSE(got[r].s[at], want.s[at], 1e-13);
      const std::int64_t rows = cuts[r + 1] - cuts[r];
      for (std::int64_t i = 0; i < rows; ++i)
        CHECK_CLOSE(got[r].u[static_cast<std::size_t>(j * rows + i)],
                    want.u[static_cast<std::size_t>(j * m + cuts[r] + i)], 1e-11);
    }
}

TEST(an_error_on_one_rank_reaches_all) {
  std::vector<double> a = normals(1, 30, 4), bad = a;
  bad[7] = std::nan("");
  const auto errors = on_ranks(3, [&](const thread_comm &comm) {
    const std::vector<double> &mine = comm.rank() == 1 ? bad : a;
    svd::decompose<double>(row_major(mine.data(), 30, 4), {.rank = 2}, comm);
  });
  CHECK(errors[0] == "A: want finite values (on rank 1 of 3)");
  CHECK(errors[1] == errors[0] && errors[2] == errors[0]);
}

TEST(sizes_that_differ_are_named_with_their_ranks) {
  const std::vector<double> a = normals(1, 30, 5);
  const auto errors = on_ranks(3, [&](const thread_comm &comm) {
    const std::int64_t cols = comm.rank() == 1 ? 4 : 5;
    svd::decompose<double>(row_major(a.data(), 30, cols), {.rank = 2}, comm);
  });
  CHECK(errors[0] == "A: got 4 on rank 1 and 5 on rank 0, want as many columns on every rank");
  CHECK(errors[1] == errors[0] && errors[2] == errors[0]);
}

TEST(the_least_number_has_no_opposite) {
  const std::int64_t least = std::numeric_limits<std::int64_t>::min();
  const auto errors = on_ranks(2, [&](const thread_comm &comm) {
    together(group_of<thread_comm>(comm), [&](const guarded_group &ranks) {
      ranks.same("size", least, "one");
      ranks.same("size", comm.rank() == 0 ? least : 3, "one");
    });
  });
  CHECK(errors[0] == "size: got " + std::to_string(least) + " on rank 0 and 3 on rank 1, want one");
  CHECK(errors[1] == errors[0]);
}

TEST(ranks_that_make_different_calls_are_told) {
  const auto errors = on_ranks(2, [&](const thread_comm &comm) {
    together(group_of<thread_comm>(comm), [&](const guarded_group &ranks) {
      std::vector<double> x(static_cast<std::size_t>(2 + comm.rank()));
      ranks.allreduce(std::span(x), reduction::sum);
    });
  });
  CHECK(errors[0].starts_with("ranks: made different calls"));
  CHECK(errors[1] == errors[0]);
}

TEST(memory_that_is_gone_on_one_rank) {
  int caught[2] = {0, 0};
  on_ranks(2, [&](const thread_comm &comm) {
    try {
      together(group_of<thread_comm>(comm), [&](const guarded_group &ranks) {
        if (comm.rank() == 1)
          throw std::bad_alloc();
        ranks.agree();
      });
    } catch (const std::bad_alloc &) {
      caught[comm.rank()] = 1;
    }
  });
  CHECK(caught[0] == 1 && caught[1] == 1);
}

TEST(flow_sums_the_loss) {
  const std::vector<double> z = normals(2, 1, 11), ones(11, 1.0);
  const double time = 0.7;
  std::vector<double> loss(2);
  CHECK(all_well(on_ranks(2, [&](const thread_comm &comm) {
    const std::int64_t first = comm.rank() == 0 ? 0 : 4, size = comm.rank() == 0 ? 4 : 7;
    std::vector<double> theta(static_cast<std::size_t>(size));
    const flow::coordinates<double> in{
        row_major(z.data() + first, 1, size), row_major(ones.data(), 1, size), {}};
    loss[static_cast<std::size_t>(comm.rank())] =
        flow::solve<double>({}, in, {&time, 1}, theta.data(), comm)[0];
  })));
  std::vector<double> theta(z.size());
  flow::solve<double>({}, {row_major(z.data(), 1, 11), row_major(ones.data(), 1, 11), {}},
                      {&time, 1}, theta.data());
  double want = 0;
  for (std::size_t i = 0; i < z.size(); ++i)
    want += (z[i] - theta[i]) * (z[i] - theta[i]) / 2;
  CHECK(loss[0] == loss[1]);
  CHECK_CLOSE(loss[0], want, 1e-14);
}

TEST(sine_transposed_product_and_gradients) {
  const std::int64_t m = 30, n = 12, k = 2;
  const std::vector<double> u = normals(3, m, k), v = normals(4, n, k), y = normals(5, m, 2),
                            x = normals(6, n, 2);
  const sine::options options{.omega = 5, .gain = 2, .exact_phase = false, .workers = 1};
  const auto V = row_major(v.data(), n, k);
  const auto X = row_major(x.data(), n, 2);
  std::vector<double> want(static_cast<std::size_t>(n * 2)),
      want_v(static_cast<std::size_t>(n * k));
  sine::apply_transposed<double>(row_major(u.data(), m, k), V, row_major(y.data(), m, 2),
                                 row_major(want.data(), n, 2), options);
  const auto scalars = sine::vjp<double>(row_major(u.data(), m, k), V, X, row_major(y.data(), m, 2),
                                         {{}, row_major(want_v.data(), n, k), {}}, options);
  CHECK(all_well(on_ranks(3, [&](const thread_comm &comm) {
    const std::int64_t cuts[] = {0, 13, 13, 30}, first = cuts[comm.rank()];
    const std::int64_t rows = cuts[comm.rank() + 1] - first;
    const auto U = row_major(u.data() + first * k, rows, k);
    const auto Y = row_major(y.data() + first * 2, rows, 2);
    std::vector<double> got(want.size()), got_v(want_v.size());
    sine::apply_transposed<double>(U, V, Y, row_major(got.data(), n, 2), options, comm);
    const auto sums =
        sine::vjp<double>(U, V, X, Y, {{}, row_major(got_v.data(), n, k), {}}, options, comm);
    if (comm.rank() != 0)
      return;
    for (std::size_t i = 0; i < want.size(); ++i)
      CHECK_CLOSE(got[i], want[i], 1e-13);
    for (std::size_t i = 0; i < want_v.size(); ++i)
      CHECK_CLOSE(got_v[i], want_v[i], 1e-12);
    CHECK_CLOSE(sums.omega, scalars.omega, 1e-12);
    CHECK_CLOSE(sums.gain, scalars.gain, 1e-12);
  })));
}

TEST(a_series_that_is_cut_in_time) {
  const double A = 0.9, one = 1;
  const auto scalar = [](const double &x) { return row_major(&x, 1, 1); };
  const lds::model model{scalar(A), scalar(one), scalar(one), scalar(one)};
  const lds::belief start{{0.0}, {4.0}, {}, 0};
  const std::int64_t n_steps = 900;
  const std::vector<double> y = normals(9, n_steps, 1);
  std::vector<double> want(y.size()), got(y.size()), sums(3);
  const auto whole = lds::filter(model, start, row_major(y.data(), n_steps, 1),
                                 {row_major(want.data(), n_steps, 1), {}, {}, {}}, {});
  CHECK(all_well(on_ranks(3, [&](const thread_comm &comm) {
    const std::int64_t cuts[] = {0, 1, 500, n_steps}, first = cuts[comm.rank()];
    const std::int64_t rows = cuts[comm.rank() + 1] - first;
    const auto result = lds::filter(model, start, row_major(y.data() + first, rows, 1),
                                    {row_major(got.data() + first, rows, 1), {}, {}, {}}, {}, comm);
    sums[static_cast<std::size_t>(comm.rank())] = result.log_likelihood;
  })));
  for (std::size_t t = 0; t < y.size(); ++t)
    CHECK_CLOSE(got[t], want[t], 1e-13);
  for (const double sum : sums)
    CHECK_CLOSE(sum, whole.log_likelihood, 1e-13);
}
