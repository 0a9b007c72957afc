#include "lacuna/core/status.hpp"

lacuna::Status refuse() { return lacuna::Status::invalid("refuse: nobody may call this"); }

int main() { return refuse() ? 1 : 0; }
