# Device code: freestanding C11 built by stock clang/lld to RV64 ELF images.
find_program(TALUS_DEVICE_CC NAMES clang-19 clang-20 clang-21 clang
             DOC "Device compiler (clang 19 or newer with the riscv64 target)")
find_program(TALUS_DEVICE_LD NAMES ld.lld-19 ld.lld-20 ld.lld-21 ld.lld
             DOC "Device linker (lld 19 or newer)")
find_program(TALUS_DEVICE_OBJCOPY NAMES llvm-objcopy-19 llvm-objcopy-20 llvm-objcopy-21 llvm-objcopy
             DOC "llvm-objcopy 19 or newer")
foreach(tool IN ITEMS CC LD OBJCOPY)
    if(NOT TALUS_DEVICE_${tool})
        message(FATAL_ERROR "The device toolchain is incomplete (TALUS_DEVICE_${tool} not found).\n"
            "Install it with: apt-get install clang-19 lld-19 llvm-19   (or run .ci/setup)")
    endif()
endforeach()
execute_process(COMMAND ${TALUS_DEVICE_CC} --version OUTPUT_VARIABLE talus_device_cc_version)
if(NOT talus_device_cc_version MATCHES "clang version ([0-9]+)" OR CMAKE_MATCH_1 LESS 19)
    message(FATAL_ERROR "${TALUS_DEVICE_CC} is not clang 19 or newer.\n"
        "Install it with: apt-get install clang-19 lld-19   (or pass -DTALUS_DEVICE_CC=...)")
endif()

set(TALUS_MARCH_SCALAR rv64imafdc_zicsr_zifencei_zicntr_zicbom_zba_zbb_zfh)
set(TALUS_MARCH_VECTOR rv64imafdcv_zicsr_zifencei_zicntr_zicbom_zba_zbb_zfh_zvfh_zvl512b)
set(TALUS_DEVICE_CFLAGS
    --target=riscv64-unknown-elf -mabi=lp64d -mcmodel=medany -std=c11 -O2 -g
    -ffreestanding -fno-builtin-printf -nostdlib -fno-common -ffunction-sections -fdata-sections
    -fno-asynchronous-unwind-tables -ffp-contract=off -Wall -Wextra -Werror
    -I${PROJECT_SOURCE_DIR}/include -I${PROJECT_BINARY_DIR}/include)

# talus_device_elf(<name> OUTPUT <file.elf> LINKER_SCRIPT <ld> SOURCES <c/S files>...
#                  [VECTOR_SOURCES <c files for core B>...] [CFLAGS ...] [LDFLAGS ...] [DEPENDS ...])
# Adds target <name> that builds <file.elf>. SOURCES are compiled for core A and the control cores
# (no V), VECTOR_SOURCES with V 1.0 and Zvfh.
function(talus_device_elf name)
    cmake_parse_arguments(D "" "OUTPUT;LINKER_SCRIPT" "SOURCES;VECTOR_SOURCES;CFLAGS;LDFLAGS;DEPENDS" ${ARGN})
    set(objects)
    foreach(kind IN ITEMS SOURCES VECTOR_SOURCES)
        set(march ${TALUS_MARCH_SCALAR})
        if(kind STREQUAL VECTOR_SOURCES)
            set(march ${TALUS_MARCH_VECTOR})
        endif()
        foreach(source IN LISTS D_${kind})
            cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
            cmake_path(GET source FILENAME leaf)
            set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.dir/${kind}_${leaf}.o)
            add_custom_command(OUTPUT ${object}
                COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/${name}.dir
                COMMAND ${TALUS_DEVICE_CC} ${TALUS_DEVICE_CFLAGS} -march=${march} ${D_CFLAGS}
                        -MD -MF ${object}.d -c ${source} -o ${object}
                DEPENDS ${source} ${D_DEPENDS} talus_hw DEPFILE ${object}.d
                COMMENT "RV64 ${name}: ${leaf}" VERBATIM COMMAND_EXPAND_LISTS)
            list(APPEND objects ${object})
        endforeach()
    endforeach()
    cmake_path(ABSOLUTE_PATH D_LINKER_SCRIPT BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
    cmake_path(GET D_OUTPUT PARENT_PATH output_folder)
    add_custom_command(OUTPUT ${D_OUTPUT}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${output_folder}
        COMMAND ${TALUS_DEVICE_LD} --gc-sections --build-id=none -T ${D_LINKER_SCRIPT} ${D_LDFLAGS}
                ${objects} -o ${D_OUTPUT}
        DEPENDS ${objects} ${D_LINKER_SCRIPT} COMMENT "RV64 link ${name}" VERBATIM COMMAND_EXPAND_LISTS)
    add_custom_target(${name} ALL DEPENDS ${D_OUTPUT})
    set_target_properties(${name} PROPERTIES TALUS_ELF ${D_OUTPUT})
endfunction()
