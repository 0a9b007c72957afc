// expect: Pipeline: the first method must decide in prefill
#include "lacuna/lacuna.hpp"

lacuna::Pipeline<lacuna::SnapKv> pipeline;
