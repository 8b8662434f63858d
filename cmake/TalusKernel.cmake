# talus_kernel_elf(<name> OUTPUT <file.elf> SOURCES <c files>... [VECTOR_SOURCES <c files for core B>...]
#                  [CFLAGS ...] [DEPENDS ...])
# Builds a kernel image (include/talus/device/kernel.h): read-only, position-independent, kernel_main at
# its first byte. SOURCES run on either core; only functions of VECTOR_SOURCES may use the V extension.
# Target <name> builds <file.elf> and, beside it, <file.bin>: the bytes that are pushed to the device.
set(TALUS_KERNEL_LINKER_SCRIPT ${PROJECT_SOURCE_DIR}/firmware/pe/kernel.ld)
function(talus_kernel_elf name)
    cmake_parse_arguments(K "" "OUTPUT" "SOURCES;VECTOR_SOURCES;CFLAGS;DEPENDS" ${ARGN})
    talus_device_elf(${name} OUTPUT ${K_OUTPUT} LINKER_SCRIPT ${TALUS_KERNEL_LINKER_SCRIPT}
        SOURCES ${K_SOURCES} VECTOR_SOURCES ${K_VECTOR_SOURCES}
        CFLAGS -fpie -fvisibility=hidden -fdirect-access-external-data -msmall-data-limit=0 ${K_CFLAGS}
        LDFLAGS -pie -z text --no-dynamic-linker -z norelro --hash-style=gnu
        DEPENDS ${K_DEPENDS})
    cmake_path(REPLACE_EXTENSION K_OUTPUT LAST_ONLY .bin OUTPUT_VARIABLE binary)
    add_custom_command(OUTPUT ${binary}
        COMMAND ${TALUS_DEVICE_OBJCOPY} -O binary --only-section=.text --only-section=.rodata
                ${K_OUTPUT} ${binary}
        DEPENDS ${K_OUTPUT} COMMENT "RV64 image ${name}" VERBATIM)
    add_custom_target(${name}_image ALL DEPENDS ${binary})
    set_target_properties(${name} PROPERTIES TALUS_BINARY ${binary})
endfunction()
