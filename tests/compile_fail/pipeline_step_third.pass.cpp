#include "lacuna/lacuna.hpp"

lacuna::Pipeline<lacuna::Dense, lacuna::Dense, lacuna::Quest> pipeline;
