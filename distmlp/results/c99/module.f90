! Calls the trained network of NAME.c from Fortran.  A sample is a column: x(NAME_inputs, rows), a(NAME_outputs, rows).
module NAME
  use, intrinsic :: iso_c_binding, only: c_int, c_size_t, ALL_KINDS
  implicit none
  private
  public :: NAME_inputs, NAME_outputs, NAME_predict, NAME_check
@classes
  public :: NAME_classes
@end
  integer, parameter :: NAME_inputs = INPUT_COUNT, NAME_outputs = OUTPUT_COUNT

  interface
    ! The outputs a of raw inputs x, `rows` samples.
    subroutine NAME_predict(rows, x, a) bind(c, name="NAME_predict")
      import :: c_size_t, ALL_KINDS
      integer(c_size_t), value :: rows
      real(INPUT_KIND), intent(in) :: x(INPUT_COUNT, *)
      real(OUTPUT_KIND), intent(out) :: a(OUTPUT_COUNT, *)
    end subroutine
@classes

    ! The most likely class of each sample, counted from 0.
    subroutine NAME_classes(rows, x, classes) bind(c, name="NAME_classes")
      import :: c_int, c_size_t, INPUT_KIND
      integer(c_size_t), value :: rows
      real(INPUT_KIND), intent(in) :: x(INPUT_COUNT, *)
      integer(c_int), intent(out) :: classes(*)
    end subroutine
@end

    ! How many outputs of a few known samples differ from those of distmlp: 0 where the build computes as it should.
    integer(c_int) function NAME_check() bind(c, name="NAME_check")
      import :: c_int
    end function
  end interface
end module
