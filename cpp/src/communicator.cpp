// SPDX-License-Identifier: BSD-3-Clause
#include <eigenflow/communicator.hpp>

#include <array>
#include <new>
#include <vector>

namespace eigenflow {
namespace {

using failure = guarded_group::failure;

// What every rank throws: the kind that its callers catch, and the mark that all have it.
template <class Error> struct shared final : Error, detail::shared_error {
  explicit shared(const std::string &message) : Error(message) {}
};

struct out_of_memory : std::bad_alloc {
  explicit out_of_memory(std::string text) : text_(std::move(text)) {}
  const char *what() const noexcept override { return text_.c_str(); }
  std::string text_;
};

struct stopped : interrupted {
  explicit stopped(const std::string &) {}
};

[[noreturn]] void throw_shared(failure kind, const std::string &message) {
  switch (kind) {
  case failure::argument:
    throw shared<argument_error>(message);
  case failure::type:
    throw shared<type_error>(message);
  case failure::convergence:
    throw shared<convergence_error>(message);
  case failure::memory:
    throw shared<out_of_memory>(message);
  case failure::interrupt:
    throw shared<stopped>(message);
  case failure::other:
    break;
  }
  throw shared<std::runtime_error>(message);
}

enum call : std::int64_t { agreeing, doubles, floats, integers, scanning, sending };

constexpr std::int64_t code(call what, reduction how) {
  return what + 8 * static_cast<std::int64_t>(how);
}

} // namespace

// The first number is 0 where all is well, else larger for a lower rank; the others are equal but
// for their sign when all ranks make the same call.
void guarded_group::check(std::int64_t call, std::size_t count) const {
  const std::int64_t id = call + 64 * static_cast<std::int64_t>(count);
  std::array<std::int64_t, 3> word{0, id, -id};
  inner_.allreduce(std::span<std::int64_t>(word), reduction::max);
  if (word[0] > 0)
    rethrow_from(size() - static_cast<int>(word[0]), failure::other, {});
  if (word[1] == -word[2])
    return;
  std::string text = "ranks: made different calls";
  if (word[1] % 64 != agreeing && word[2] % 64 != agreeing)
    text += ", or calls of different sizes (" + std::to_string(-word[2] / 64) + " to " +
            std::to_string(word[1] / 64) + " numbers)";
  throw_shared(failure::argument, text);
}

void guarded_group::rethrow_from(int root, failure kind, const std::string &message) const {
  std::array<std::int64_t, 2> head{static_cast<std::int64_t>(kind),
                                   static_cast<std::int64_t>(message.size())};
  inner_.bcast(std::as_writable_bytes(std::span(head)), root);
  std::string text = message;
  text.resize(static_cast<std::size_t>(head[1]));
  inner_.bcast(std::as_writable_bytes(std::span(text.data(), text.size())), root);
  if (size() > 1)
    text += " (on rank " + std::to_string(root) + " of " + std::to_string(size()) + ")";
  throw_shared(static_cast<failure>(head[0]), text);
}

void guarded_group::fail(failure kind, const std::string &message) const {
  std::array<std::int64_t, 3> word{size() - rank(), INT64_MIN, INT64_MIN};
  inner_.allreduce(std::span<std::int64_t>(word), reduction::max);
  rethrow_from(size() - static_cast<int>(word[0]), kind, message);
}

void guarded_group::fail() const {
  try {
    throw;
  } catch (const type_error &error) {
    fail(failure::type, error.what());
  } catch (const argument_error &error) {
    fail(failure::argument, error.what());
  } catch (const convergence_error &error) {
    fail(failure::convergence, error.what());
  } catch (const interrupted &error) {
    fail(failure::interrupt, error.what());
  } catch (const std::bad_alloc &error) {
    fail(failure::memory, error.what());
  } catch (const std::length_error &error) {
    fail(failure::memory, error.what());
  } catch (const std::exception &error) {
    fail(failure::other, error.what());
  } catch (...) {
    fail(failure::other, "unknown error");
  }
}

void guarded_group::agree(std::uint32_t which) const { check(agreeing, which); }

void guarded_group::same(const char *name, std::int64_t value, const char *wanted) const {
  std::array<std::int64_t, 2> ends{value, ~value}; // the least number has no opposite
  allreduce(std::span<std::int64_t>(ends), reduction::max);
  const std::int64_t least = ~ends[1], most = ends[0];
  if (least == most)
    return;
  std::array<std::int64_t, 2> holders{value == least ? rank() : size(),
                                      value == most ? rank() : size()};
  allreduce(std::span<std::int64_t>(holders), reduction::min);
  throw_shared(failure::argument, std::string(name) + ": got " + std::to_string(least) +
                                      " on rank " + std::to_string(holders[0]) + " and " +
                                      std::to_string(most) + " on rank " +
                                      std::to_string(holders[1]) + ", want " + wanted);
}

void guarded_group::allreduce(std::span<double> x, reduction how) const {
  check(code(doubles, how), x.size());
  inner_.allreduce(x, how);
}

void guarded_group::allreduce(std::span<float> x, reduction how) const {
  check(code(floats, how), x.size());
  inner_.allreduce(x, how);
}

void guarded_group::allreduce(std::span<std::int64_t> x, reduction how) const {
  check(code(integers, how), x.size());
  inner_.allreduce(x, how);
}

void guarded_group::exscan(std::span<double> x, const combine &op) const {
  check(scanning, x.size());
  inner_.exscan(x, op);
}

void guarded_group::bcast(std::span<std::byte> x, int root) const {
  check(sending + 8 * static_cast<std::int64_t>(root), x.size());
  inner_.bcast(x, root);
}

} // namespace eigenflow
