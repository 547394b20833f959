// SPDX-License-Identifier: BSD-3-Clause
// What an algorithm asks of the processes that share its data. Any type with these members is a
// communicator: MPI (mpi.hpp), a message layer of the program's own, or self_comm, one process.
// Calls are collective: every rank makes the same ones in the same order.
#pragma once

#include <eigenflow/errors.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace eigenflow {

enum class reduction { sum, min, max };

// second = first followed by second. Associative, not commutative: first comes from lower ranks.
using combine = std::function<void(std::span<const double> first, std::span<double> second)>;

template <class C>
concept communicator =
    requires(const C &c, std::span<double> x, std::span<float> y, std::span<std::int64_t> n,
             std::span<std::byte> bytes, const combine &op) {
      { c.rank() } -> std::convertible_to<int>;
      { c.size() } -> std::convertible_to<int>;
      c.allreduce(x, reduction::sum); // in place, the same bytes on every rank
      c.allreduce(y, reduction::sum);
      c.allreduce(n, reduction::max);
      c.exscan(x, op); // x = those of the lower ranks combined; unspecified on rank 0
      c.bcast(bytes, 0);
    };

// One process.
struct self_comm {
  int rank() const { return 0; }
  int size() const { return 1; }
  template <class R> void allreduce(std::span<R>, reduction) const {}
  void exscan(std::span<double>, const combine &) const {}
  void bcast(std::span<std::byte>, int) const {}
};

// An argument has a type that is refused.
struct type_error : argument_error {
  using argument_error::argument_error;
};

// The messages themselves failed: a rank died, or the communicator was freed. No other rank can be
// told.
struct communication_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The concept as a class, which is what the compiled library calls.
class rank_group {
public:
  virtual ~rank_group() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void allreduce(std::span<double> x, reduction how) const = 0;
  virtual void allreduce(std::span<float> x, reduction how) const = 0;
  virtual void allreduce(std::span<std::int64_t> x, reduction how) const = 0;
  virtual void exscan(std::span<double> x, const combine &op) const = 0;
  virtual void bcast(std::span<std::byte> x, int root) const = 0;
};

template <communicator C> class group_of final : public rank_group {
public:
  explicit group_of(const C &comm) : comm_(comm) {}
  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  void allreduce(std::span<double> x, reduction how) const override { comm_.allreduce(x, how); }
  void allreduce(std::span<float> x, reduction how) const override { comm_.allreduce(x, how); }
  void allreduce(std::span<std::int64_t> x, reduction how) const override {
    comm_.allreduce(x, how);
  }
  void exscan(std::span<double> x, const combine &op) const override { comm_.exscan(x, op); }
  void bcast(std::span<std::byte> x, int root) const override { comm_.bcast(x, root); }

private:
  const C &comm_;
};

// Collective calls that cannot leave a rank waiting for one that has failed: each begins with 24
// bytes that say that all is well and which call it is. An error on one rank becomes the same
// error, with the same message, on all; ranks that make different calls all get an argument_error.
class guarded_group final : public rank_group {
public:
  explicit guarded_group(const rank_group &inner) : inner_(inner) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void allreduce(std::span<double> x, reduction how) const override;
  void allreduce(std::span<float> x, reduction how) const override;
  void allreduce(std::span<std::int64_t> x, reduction how) const override;
  void exscan(std::span<double> x, const combine &op) const override;
  void bcast(std::span<std::byte> x, int root) const override;

  // Waits until every rank is here; throws if one has failed meanwhile, or is in another call: one
  // with another number.
  void agree(std::uint32_t which = 0) const;
  // Throws argument_error on every rank unless `value` is the same on all. The message starts with
  // the name and ends with what is wanted of it.
  void same(const char *name, std::int64_t value, const char *wanted) const;
  // The exception in flight, for all ranks: throws what every rank throws.
  [[noreturn]] void fail() const;
  // The same for an error that another language holds.
  enum class failure : std::int64_t { argument, type, convergence, memory, interrupt, other };
  [[noreturn]] void fail(failure kind, const std::string &message) const;

private:
  void check(std::int64_t call, std::size_t count) const;
  [[noreturn]] void rethrow_from(int root, failure kind, const std::string &message) const;
  const rank_group &inner_;
};

// An error that this group has thrown on every rank already.
namespace detail {
struct shared_error {
  virtual ~shared_error() = default;
};
} // namespace detail

// Runs body(guarded group): what one rank throws, all ranks throw.
template <class Body> auto together(const rank_group &ranks, Body &&body) {
  const guarded_group guard(ranks);
  try {
    if constexpr (std::is_void_v<decltype(body(guard))>) {
      body(guard);
      guard.agree();
    } else {
      auto out = body(guard);
      guard.agree();
      return out;
    }
  } catch (const detail::shared_error &) {
    throw;
  } catch (const communication_error &) {
    throw;
  } catch (...) {
    guard.fail();
  }
}

} // namespace eigenflow
