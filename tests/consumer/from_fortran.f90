! SPDX-License-Identifier: BSD-3-Clause
! The filter and the flow from Fortran: interfaces by bind(c), matrices in Fortran's order.
program from_fortran
  use, intrinsic :: iso_c_binding
  implicit none

  interface
    integer(c_int) function eigenflow_flow_solve(n, z, eigenvalues, b0, depth, n_times, times, &
        workers, theta) bind(c)
      import :: c_int, c_int64_t, c_double
      integer(c_int64_t), value :: n, n_times
      integer(c_int), value :: depth, workers
      real(c_double), intent(in) :: z(*), eigenvalues(*), b0(*), times(*)
      real(c_double), intent(out) :: theta(*)
    end function
    integer(c_int) function eigenflow_sine_matvec(m, n, k, u, v, order, omega, gain, x, workers, &
        y) bind(c)
      import :: c_int, c_int64_t, c_double
      integer(c_int64_t), value :: m, n, k
      integer(c_int), value :: order, workers
      real(c_double), value :: omega, gain
      real(c_double), intent(in) :: u(*), v(*), x(*)
      real(c_double), intent(out) :: y(*)
    end function
  end interface

  integer(c_int), parameter :: col_major = 1
  real(c_double) :: theta(1), u(2, 1), v(3, 1), x(3), y(2)

  if (eigenflow_flow_solve(1_c_int64_t, [1d0], [1d0], [0.5d0], 1, 1_c_int64_t, [3d0], 1, theta) /= 0) &
    error stop 'flow'
  if (abs(theta(1) - 0.99658722795721374d0) > 1d-14) error stop 'theta'

  u(:, 1) = [0.1d0, 0.2d0]
  v(:, 1) = [1d0, 2d0, 3d0]
  x = 1d0
  if (eigenflow_sine_matvec(2_c_int64_t, 3_c_int64_t, 1_c_int64_t, u, v, col_major, 5d0, 1d0, x, 1, &
      y) /= 0) error stop 'sine'
  if (any(abs(y - sum(sin(5d0 * matmul(u, transpose(v))), 2)) > 1d-13)) error stop 'product'
  print '(a, f18.15)', 'theta(3) = ', theta(1)
end program
