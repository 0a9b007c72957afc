# find_package(lacuna) after `cmake --install`: headers, one target, nothing else to find.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(lacuna_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lacuna)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lacuna DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS lacuna EXPORT lacuna-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT lacuna-targets NAMESPACE lacuna:: DESTINATION ${lacuna_package_dir} FILE lacuna-config.cmake)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lacuna-config-version.cmake
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/lacuna-config-version.cmake DESTINATION ${lacuna_package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
