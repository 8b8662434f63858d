# talus_gtest(<name> SOURCES ... LIBS ... [ENV k=v ...] [ARGS ...] [TIMEOUT s] [LABELS ...]) : a GoogleTest binary.
# talus_cmocka_test(<name> SOURCES ... [LIBS ...])                                   : a CMocka binary (C).
# TIMEOUT bounds a hang; it judges nothing else.
function(talus_add_test name framework)
    cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LIBS;ENV;ARGS;LABELS" ${ARGN})
    if(NOT T_TIMEOUT)
        set(T_TIMEOUT 300)
    endif()
    add_executable(${name} ${T_SOURCES})
    # Tests spend their time in what they test; at -O3 they take a third longer to build.
    if("conformance" IN_LIST T_LABELS)
        talus_options(${name})
    else()
        talus_test_options(${name})
    endif()
    target_link_libraries(${name} PRIVATE ${T_LIBS} ${framework})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${name} COMMAND ${name} ${T_ARGS})
    set(environment ${T_ENV})
    if(TALUS_SANITIZE)
        list(APPEND environment "UBSAN_OPTIONS=print_stacktrace=1")
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${T_TIMEOUT} ENVIRONMENT "${environment}" LABELS "${T_LABELS}")
endfunction()

if(TALUS_TESTS)
    find_package(GTest REQUIRED)
    find_package(PkgConfig REQUIRED)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()

function(talus_test_options target)
    talus_warnings(${target})
    target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:C,CXX>>:-O1>)
    # GCC 12 sees overlaps and overruns in std::string at -O1 that are none (GCC bugs 105329, 105651).
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-array-bounds -Wno-restrict -Wno-stringop-overflow>)
    talus_precompiled_headers(${target} talus_test_headers)
endfunction()

if(TALUS_TESTS AND TALUS_PRECOMPILED_HEADERS)
    talus_header_set(talus_test_headers <gtest/gtest.h>)
    talus_test_options(talus_test_headers)
    target_link_libraries(talus_test_headers PRIVATE GTest::gtest)
    set_target_properties(talus_test_headers PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(talus_test_headers PRIVATE -fPIE) # as in executables
endif()

function(talus_gtest name)
    talus_add_test(${name} GTest::gtest_main ${ARGN})
endfunction()

function(talus_cmocka_test name)
    talus_add_test(${name} PkgConfig::CMOCKA ${ARGN})
endfunction()
