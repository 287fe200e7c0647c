// Everything that is picked by instruction set, as one unit; stretches.hpp says why.
#include "grid_gradient.cpp"
#include "x_gradient.cpp"
