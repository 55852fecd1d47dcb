# Run after linking a plugin, with -D WORKER, LINKED, PLUGIN and OBJCOPY: asks the worker what is
# in LINKED and makes PLUGIN of it, with the answer in the section .cifarpipe.schema.
get_filename_component(name ${PLUGIN} NAME)
get_filename_component(folder ${PLUGIN} DIRECTORY)
set(answer ${LINKED}.json)
set(temporary ${folder}/.${name}.tmp)
file(MAKE_DIRECTORY ${folder})

# The compilers that build plugins with the group's write bit (umask 002) would make files that
# the loader refuses.
set(mode OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
file(CHMOD ${LINKED} PERMISSIONS ${mode})
execute_process(COMMAND ${WORKER} --describe ${LINKED} OUTPUT_FILE ${answer}
                ERROR_VARIABLE errors RESULT_VARIABLE status)
string(STRIP "${errors}" errors)
set(text "")
if(EXISTS ${answer})
  file(READ ${answer} text)
endif()
if(errors)
  message("${errors}")  # The worker's reason, or what the plugin printed. FATAL_ERROR breaks lines.
endif()
if(NOT status EQUAL 0 OR NOT text MATCHES "^{.*}\n$")
  message(FATAL_ERROR "${name} cannot be described (the worker ended with '${status}').")
endif()
execute_process(COMMAND ${OBJCOPY} --add-section .cifarpipe.schema=${answer}
                        --set-section-flags .cifarpipe.schema=noload,readonly
                        ${LINKED} ${temporary}
                RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  file(REMOVE ${temporary})
  message(FATAL_ERROR "${OBJCOPY} cannot add the description to ${name}.")
endif()
file(CHMOD ${temporary} PERMISSIONS ${mode})
file(RENAME ${temporary} ${PLUGIN})
