// The n-th allocation after fail_at(n) returns no memory; once. Loaded by LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_long left = 0; // 0: never
static atomic_long seen = 0;

void fail_at(long n) {
  atomic_store(&seen, 0);
  atomic_store(&left, n);
}

long allocations(void) { return atomic_load(&seen); }

static int fails(void) {
  atomic_fetch_add(&seen, 1);
  return atomic_load(&left) > 0 && atomic_fetch_sub(&left, 1) == 1;
}

static void *none(void) {
  errno = ENOMEM;
  return NULL;
}

void *malloc(size_t size) { return fails() ? none() : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return fails() ? none() : __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return fails() ? none() : __libc_realloc(p, size); }
void *aligned_alloc(size_t align, size_t size) {
  return fails() ? none() : __libc_memalign(align, size);
}
void *memalign(size_t align, size_t size) { return aligned_alloc(align, size); }
int posix_memalign(void **out, size_t align, size_t size) {
  void *p = fails() ? NULL : __libc_memalign(align, size);
  if (p == NULL)
    return ENOMEM;
  *out = p;
  return 0;
}
